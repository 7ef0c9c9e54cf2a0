"""Java: injection, weak cryptography, unsafe parsers, slips with objects."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from aixmeg.corpus.defects import structure as s
from aixmeg.corpus.defects.rule import COMPUTED, LITERAL, Binary, Call, Match, Node, Rule


def _rule(rule: str, says: str, match: Match, bad: str, good: str, cwe: int | None = None, *,  # noqa: PLR0917
          kind: Any = "vulnerability", sure: bool = True, needs: tuple[str, ...] = ()) -> Rule:  # fmt: skip
    match = replace(match, needs=needs) if isinstance(match, Node) else match
    return Rule(f"java-{rule}", says, kind, {"java": match}, {"java": bad}, {"java": good}, cwe, sure)


def _call(*names: str, **settings: Any) -> Call:
    return Call(names, **settings)


_JOINED = r'.*"\s*\+.*|.*\+\s*".*'
RULES: tuple[Rule, ...] = (
    _rule("exec", "A command that is not a literal.", _call("exec", on=r".*(?:getRuntime\(\)|[rR]untime|\brt)", args={0: COMPUTED}), "Runtime.getRuntime().exec(a);", 'Runtime.getRuntime().exec("ls");', 78, sure=False),
    _rule("process-shell", "A shell is started with a computed command.", _call("ProcessBuilder", new=True, args={0: r'"(?:/bin/)?(?:ba)?sh"|"cmd(?:\.exe)?"', 2: COMPUTED}), 'new ProcessBuilder("sh", "-c", a);', 'new ProcessBuilder("ls", a);', 78),
    _rule("sql", "SQL put together from parts.", _call("executeQuery", "executeUpdate", "execute", "addBatch", args={0: r'"\s*(?i:select|insert|update|delete|drop|create)\b.*"\s*\+.*'}), 's.executeQuery("SELECT a FROM t WHERE b=" + c);', 's.executeQuery("SELECT a FROM t");', 89),
    _rule("sql-prepared", "A prepared statement put together from parts.", _call("prepareStatement", "prepareCall", args={0: r'"\s*(?i:select|insert|update|delete)\b.*=\s*\'?"\s*\+.*'}), "c.prepareStatement(\"SELECT a FROM t WHERE b='\" + d);", 'c.prepareStatement("SELECT a FROM t WHERE b=?");', 89),
    _rule("jpql", "A query of objects put together from parts.", _call("createQuery", "createNativeQuery", "createSQLQuery", args={0: _JOINED}), 'm.createQuery("from T where a=" + b);', 'm.createQuery("from T where a=:b");', 564),
    _rule("ldap", "A search filter put together from parts.", _call("search", args={1: r'"\(.*"\s*\+.*'}), 'c.search(d, "(uid=" + a, e);', 'c.search(d, "(uid={0})", e);', 90),
    _rule("xpath", "An XPath put together from parts.", _call("compile", "evaluate", on=r".*[xX][pP]ath", args={0: _JOINED}), 'xpath.evaluate("//a[" + b, d);', 'xpath.evaluate("//a", d);', 643),
    _rule("script", "A script that is not a literal.", _call("eval", on=r".*(?:[eE]ngine|[sS]cript\w*)", args={0: COMPUTED}), "engine.eval(a);", 'engine.eval("1 + 1");', 94, sure=False),
    _rule("expression", "An expression of Spring that is not a literal.", _call("parseExpression", args={0: r"[a-z]\w*"}), "parser.parseExpression(a);", 'parser.parseExpression("a.b");', 917, sure=False),
    _rule("read-object", "Objects are read from bytes of unknown origin.", _call("readObject", on=r".*(?:[iI]n|[sS]tream|ois|input)", count=0), "ois.readObject();", "ois.readInt();", 502, sure=False),
    _rule("xml-decoder", "XMLDecoder runs what it reads.", _call("XMLDecoder", new=True), "new XMLDecoder(a);", "new Decoder(a);", 502),
    _rule("yaml-load", "A YAML reader that makes any object.", _call("Yaml", new=True, count=0), "new Yaml();", "new Yaml(new SafeConstructor());", 502, sure=False),
    _rule("default-typing", "Types are taken from the JSON itself.", _call("enableDefaultTyping", "activateDefaultTypingAsProperty"), "mapper.enableDefaultTyping();", "mapper.disableDefaultTyping();", 502),
    _rule("xxe-dom", "An XML parser with its defaults follows external entities.", Node(("method_invocation",), s.text_matches(r"DocumentBuilderFactory\s*\.\s*newInstance\(\)\s*\.\s*newDocumentBuilder\(\)")), "DocumentBuilderFactory.newInstance().newDocumentBuilder();", "factory.newDocumentBuilder();", 611, needs=("DocumentBuilderFactory",)),
    _rule("xxe-sax", "A SAX parser with its defaults follows external entities.", Node(("method_invocation",), s.text_matches(r"SAXParserFactory\s*\.\s*newInstance\(\)\s*\.\s*newSAXParser\(\)")), "SAXParserFactory.newInstance().newSAXParser();", "factory.newSAXParser();", 611, needs=("SAXParserFactory",)),
    _rule("xxe-xmlreader", "An XML reader with its defaults follows external entities.", _call("createXMLReader", on=r".*XMLReaderFactory"), "XMLReaderFactory.createXMLReader();", "factory.createReader();", 611, sure=False),
    _rule("weak-hash", "MD5, MD2 or SHA-1.", _call("getInstance", on=r"(?:java\.security\.)?MessageDigest", args={0: r'"(?i:md[245]|sha-?1|sha)"'}), 'MessageDigest.getInstance("MD5");', 'MessageDigest.getInstance("SHA-256");', 328, sure=False),
    _rule("weak-hash-helper", "MD5 or SHA-1 by a helper.", _call("md5Hex", "sha1Hex", "md5", on=r"(?:DigestUtils|Hashing)"), "DigestUtils.md5Hex(a);", "DigestUtils.sha256Hex(a);", 328, sure=False),
    _rule("weak-cipher", "DES, RC2, RC4 or Blowfish.", _call("getInstance", on=r"(?:javax\.crypto\.)?(?:Cipher|KeyGenerator|SecretKeyFactory)", args={0: r'"(?i:des|desede|rc[24]|arcfour|blowfish)(?:/.*)?"'}), 'Cipher.getInstance("DES/CBC/PKCS5Padding");', 'Cipher.getInstance("AES/GCM/NoPadding");', 327),
    _rule("ecb", "Electronic code book mode, also the default of AES.", _call("getInstance", on=r"(?:javax\.crypto\.)?Cipher", args={0: r'"(?i:aes)(?:/ECB/.*)?"'}), 'Cipher.getInstance("AES");', 'Cipher.getInstance("AES/GCM/NoPadding");', 327),
    _rule("rsa-padding", "RSA without padding.", _call("getInstance", on=r"(?:javax\.crypto\.)?Cipher", args={0: r'"(?i:rsa)/.*/NoPadding"'}), 'Cipher.getInstance("RSA/ECB/NoPadding");', 'Cipher.getInstance("RSA/ECB/OAEPPadding");', 780),
    _rule("old-tls", "An outdated protocol by name.", _call("getInstance", on=r".*SSLContext", args={0: r'"(?:SSL|SSLv[23]|TLSv1|TLSv1\.1)"'}), 'SSLContext.getInstance("SSLv3");', 'SSLContext.getInstance("TLSv1.3");', 327),
    _rule("static-iv", "An initialisation vector that is written down.", _call("IvParameterSpec", new=True, args={0: r'".*"\.getBytes\(.*\)|new byte\[\d*\]'}), 'new IvParameterSpec("0000000000000000".getBytes());', "new IvParameterSpec(random);", 329),
    _rule("literal-key", "A key that is written down.", _call("SecretKeySpec", new=True, args={0: r'".*"\.getBytes\(.*\)'}), 'new SecretKeySpec("0123".getBytes(), "AES");', 'new SecretKeySpec(key, "AES");', 321),
    _rule("few-rounds", "A password hashed with few rounds.", _call("PBEKeySpec", new=True, args={2: r"\d{1,3}"}), "new PBEKeySpec(a, b, 100, 256);", "new PBEKeySpec(a, b, 600000, 256);", 916),
    _rule("few-rounds-pbe", "A key derived with few rounds.", _call("PBEParameterSpec", new=True, args={1: r"\d{1,3}"}), "new PBEParameterSpec(a, 20);", "new PBEParameterSpec(a, 10000);", 916),
    _rule("short-key", "A key below 2,048 bits.", _call("initialize", args={0: r"512|768|1024"}), "generator.initialize(1024);", "generator.initialize(3072);", 326, sure=False),
    _rule("weak-random", "Numbers for a secret from a predictable generator.", Node(("variable_declarator",), s.text_matches(r"(?i:\w*(?:token|password|secret|salt|nonce|sessionid)\w*)\s*=.*(?:new\s+Random\(|Math\.random\().*")), "int token = new Random().nextInt();", "int token = new SecureRandom().nextInt();", 330, needs=("Random", "Math.random")),
    _rule("seeded-random", "A secure generator with a seed of its own.", _call("SecureRandom", new=True, args={0: LITERAL}), "new SecureRandom(5);", "new SecureRandom();", 337),
    _rule("set-seed", "A generator seeded with a literal.", _call("setSeed", args={0: r"\d+L?"}, on=r".*[sS]ecure\w*"), "secure.setSeed(5L);", "secure.setSeed(bytes);", 337),
    _rule("trust-all", "Any certificate is trusted.", Node(("method_declaration",), s.text_matches(r"(?:@Override\s*)?public\s+void\s+check(?:Server|Client)Trusted\s*\([^{]*\{\s*(?://[^\n]*\s*)?\}", 600)), "public void checkServerTrusted(X[] a, String b) { }", "public void checkServerTrusted(X[] a, String b) { check(a); }", 295, needs=("checkServerTrusted", "checkClientTrusted")),
    _rule("any-host", "Any name of a host is accepted.", Node(("method_declaration",), s.text_matches(r"(?:@Override\s*)?public\s+boolean\s+verify\s*\(\s*(?:final\s+)?String\s+\w+\s*,\s*(?:final\s+)?SSLSession\s+\w+\s*\)\s*\{\s*return\s+true\s*;\s*\}", 600)), "public boolean verify(String a, SSLSession b) { return true; }", "public boolean verify(String a, SSLSession b) { return check(a, b); }", 297, needs=("SSLSession",)),
    _rule("any-host-by-name", "A verifier that accepts any host.", _call("setHostnameVerifier", "setDefaultHostnameVerifier", "hostnameVerifier", args={0: r".*(?:NoopHostnameVerifier|ALLOW_ALL).*|\(?\w+,\s*\w+\)?\s*->\s*true"}), "b.hostnameVerifier((h, s) -> true);", "b.hostnameVerifier(v);", 297),
    _rule("cookie-insecure", "A cookie that travels in clear.", _call("setSecure", args={0: "false"}, count=1), "cookie.setSecure(false);", "cookie.setSecure(true);", 614),
    _rule("cookie-script", "A cookie that scripts may read.", _call("setHttpOnly", args={0: "false"}, count=1), "cookie.setHttpOnly(false);", "cookie.setHttpOnly(true);", 1004),
    _rule("redirect", "A redirect to where the request says.", _call("sendRedirect", args={0: r".*\.getParameter\(.*"}), 'r.sendRedirect(q.getParameter("u"));', 'r.sendRedirect("/home");', 601),
    _rule("path", "A file by the name that the request gives.", _call("File", "FileInputStream", "FileOutputStream", "FileReader", new=True, args={-1: r".*\.getParameter\(.*"}), 'new File(q.getParameter("f"));', 'new File("f");', 22),
    _rule("reflected", "What the request holds is written back.", _call("print", "println", "write", on=r".*getWriter\(\)", args={0: r".*\.getParameter\(.*"}), 'r.getWriter().print(q.getParameter("a"));', 'r.getWriter().print("a");', 79),
    _rule("request-forgery", "A connection to where the request says.", _call("URL", new=True, args={0: r".*\.getParameter\(.*"}), 'new URL(q.getParameter("u"));', 'new URL("https://example.org");', 918),
    _rule("csrf", "Protection against forged requests is turned off.", Node(("method_invocation",), s.text_matches(r".*\.csrf\(\)\s*\.\s*disable\(\)", 2000)), "http.csrf().disable();", "http.csrf();", 352, sure=False, needs=("csrf()",)),
    _rule("any-origin", "Any site may ask.", _call("addAllowedOrigin", "allowedOrigins", "setAllowedOrigins", args={0: r'"\*"'}), 'c.allowedOrigins("*");', 'c.allowedOrigins("https://example.org");', 942, sure=False),
    _rule("any-origin-header", "Any site may read the answer.", _call("setHeader", "addHeader", args={0: r'"Access-Control-Allow-Origin"', 1: r'"\*"'}), 'r.setHeader("Access-Control-Allow-Origin", "*");', 'r.setHeader("Access-Control-Allow-Origin", a);', 942),
    _rule("literal-password", "A password that is written down.", _call("getConnection", on=r".*DriverManager", args={2: r'"[^"]+"'}), 'DriverManager.getConnection(u, "a", "pw");', "DriverManager.getConnection(u, a, p);", 798),
    _rule("world-writable", "A file that everybody may write.", _call("setWritable", "setReadable", "setExecutable", args={0: "true", 1: "false"}), "f.setWritable(true, false);", "f.setWritable(true, true);", 732),
    _rule("open-permissions", "Permissions for everybody.", _call("fromString", on=r".*PosixFilePermissions", args={0: r'"rw.rw.rw."'}), 'PosixFilePermissions.fromString("rwxrwxrwx");', 'PosixFilePermissions.fromString("rwx------");', 732),
    _rule("no-manager", "The security manager is taken away.", _call("setSecurityManager", args={0: "null"}), "System.setSecurityManager(null);", "System.setSecurityManager(m);", 807),
    _rule("load-library", "Native code by a computed name.", _call("load", "loadLibrary", on=r"System|.*getRuntime\(\)", args={0: COMPUTED}), "System.loadLibrary(a);", 'System.loadLibrary("a");', 114, sure=False),
    _rule("temporary-folder", "A temporary file that another process may take first.", Node(("method_invocation",), s.text_matches(r".*File\.createTempFile\(.*\)\.delete\(\)")), 'File.createTempFile("a", "b").delete();', 'Files.createTempDirectory("a");', 377, needs=("createTempFile",)),
    _rule("regex-from-request", "A pattern that the request gives.", _call("compile", on=r"Pattern", args={0: r".*\.getParameter\(.*"}), 'Pattern.compile(q.getParameter("r"));', 'Pattern.compile("r");', 1333),
    # Bugs.
    _rule("string-identity", "Strings compared by identity with a literal.", Binary(("==", "!="), s.either_side(r'"[^"]*"')), 'r = a == "b";', 'r = a.equals("b");', 597, kind="bug"),
    _rule("equals-null", "equals(null) is never true.", _call("equals", args={0: "null"}, count=1), "a.equals(null);", "a.equals(b);", 570, kind="bug", sure=False),
    _rule("equals-self", "An object compared with itself.", Node(("method_invocation",), s.text_matches(r"(\w+)\.equals\(\1\)")), "a.equals(a);", "a.equals(b);", 1025, kind="bug", sure=False, needs=(".equals(",)),
    _rule("nan", "NaN is equal to nothing.", Binary(("==", "!="), s.either_side(r"(?:Double|Float)\.NaN")), "r = a == Double.NaN;", "r = Double.isNaN(a);", 1077, kind="bug"),
    _rule("boxed-constructor", "A constructor that is gone: boxed numbers are made by valueOf.", _call("Integer", "Long", "Boolean", "Double", "Float", "Short", "Byte", "Character", new=True, count=1), "new Integer(1);", "Integer.valueOf(1);", 477, kind="bug", sure=False),
    _rule("decimal-from-double", "A decimal number made from a binary one.", _call("BigDecimal", new=True, args={0: r"\d*\.\d+"}), "new BigDecimal(0.1);", 'new BigDecimal("0.1");', 1339, kind="bug"),
    _rule("string-result", "Strings do not change: the result is thrown away.", Node(("expression_statement",), s.result_unused(re.compile(r"\.(?:trim|toUpperCase|toLowerCase|substring|concat|replaceAll|strip)\([^()]*\)$"))), "a.trim();", "a = a.trim();", 252, kind="bug", sure=False, needs=(".trim(", ".toUpperCase(", ".toLowerCase(", ".substring(", ".concat(", ".replaceAll(", ".strip(")),
    _rule("replace-all-dot", "A dot as a pattern is every character.", _call("replaceAll", "replaceFirst", "split", args={0: r'"[.|*+?^$]"'}), 'a.replaceAll(".", "b");', 'a.replaceAll("\\\\.", "b");', 1023, kind="bug"),
    _rule("abs-of-hash", "The absolute value of the smallest number is negative.", _call("abs", on="Math", args={0: r".*(?:hashCode\(\)|nextInt\(\)|nextLong\(\))"}), "Math.abs(a.hashCode());", "Math.abs(a);", 682, kind="bug"),
    _rule("random-cast", "A cast binds tighter than the product: always 0.", Node(("cast_expression",), s.text_matches(r"\(int\)\s*Math\.random\(\)")), "r = (int) Math.random() * 9;", "r = (int) (Math.random() * 9);", 704, kind="bug", needs=("Math.random",)),
    _rule("run-directly", "run() of a new thread runs in this one.", Node(("method_invocation",), s.text_matches(r"(?:\(\s*)?new\s+Thread\(.*\)(?:\s*\))?\.run\(\)", 600)), "new Thread(a).run();", "new Thread(a).start();", 572, kind="bug", needs=("new Thread",)),
    _rule("stop", "stop() of a thread leaves what it held.", _call("stop", "suspend", "resume", on=r".*[tT]hread(?:\(\))?", count=0), "thread.stop();", "thread.interrupt();", 705, kind="bug"),
    _rule("exit-in-finally", "A thread is asked to run its finalizers on exit.", _call("runFinalizersOnExit"), "System.runFinalizersOnExit(true);", "System.gc();", 705, kind="bug"),
    _rule("lock-on-literal", "A lock on an object that others share.", Node(("synchronized_statement",), s.text_matches(r'synchronized\s*\(\s*"[^"]*"\s*\).*', 4000)), 'synchronized ("a") { f(); }', "synchronized (a) { f(); }", 412, kind="bug"),
    _rule("lock-on-new", "A lock that nobody else can hold.", Node(("synchronized_statement",), s.text_matches(r"synchronized\s*\(\s*new\s+.*", 4000)), "synchronized (new Object()) { f(); }", "synchronized (a) { f(); }", 585, kind="bug"),
    _rule("lock-on-class-of-this", "A lock on the class of the moment.", Node(("synchronized_statement",), s.text_matches(r"synchronized\s*\(\s*(?:this\.)?getClass\(\)\s*\).*", 4000)), "synchronized (getClass()) { f(); }", "synchronized (A.class) { f(); }", 412, kind="bug"),
    _rule("catches-null", "A null pointer is caught instead of avoided.", Node(("catch_clause",), s.text_matches(r"catch\s*\(\s*(?:final\s+)?NullPointerException\b.*", 4000)), "try { f(); } catch (NullPointerException e) { g(); }", "try { f(); } catch (IOException e) { g(); }", 395, kind="bug", sure=False),
    _rule("catches-all-errors", "Errors of the machine are caught.", Node(("catch_clause",), s.text_matches(r"catch\s*\(\s*(?:final\s+)?Throwable\b[^{]*\{\s*\}", 4000)), "try { f(); } catch (Throwable t) { }", "try { f(); } catch (Throwable t) { throw t; }", 396, kind="bug"),
    _rule("throws-null", "null is thrown.", Node(("throw_statement",), s.text_matches(r"throw\s+null\s*;")), "throw null;", "throw new E();", 476, kind="bug"),
    _rule("index-positive", "A match at the beginning is missed.", Binary((">",), s.whole(r"\w+\.indexOf\([^()]*\)\s*>\s*0")), 'r = a.indexOf("b") > 0;', 'r = a.indexOf("b") >= 0;', 193, kind="bug", sure=False),
    _rule("size-of-stream", "skip() and read() may do less than was asked.", Node(("expression_statement",), s.result_unused(re.compile(r"(?:[iI]n|[sS]tream|is|input)\.(?:skip|read)\(\w[^()]*\)$"))), "in.read(buffer);", "int n = in.read(buffer);", 252, kind="bug", sure=False, needs=(".skip(", ".read(")),
    _rule("mkdirs-unused", "Whether a file was made or removed is not looked at.", Node(("expression_statement",), s.result_unused(re.compile(r"\.(?:createNewFile|renameTo)\([^()]*\)$"))), "f.renameTo(g);", "if (!f.renameTo(g)) h();", 252, kind="bug", sure=False, needs=(".createNewFile(", ".renameTo(")),
    _rule("await-without-unit", "wait() and notify() of a condition are await() and signal().", _call("wait", "notify", "notifyAll", on=r".*[cC]ondition", count=0), "condition.notify();", "condition.signal();", 662, kind="bug"),
    _rule("array-equals", "Arrays compared by identity.", Node(("method_invocation",), s.text_matches(r"\w+\.getBytes\([^()]*\)\.equals\(.*\)")), "a.getBytes().equals(b);", "Arrays.equals(a, b);", 595, kind="bug", needs=("getBytes",)),
    _rule("array-to-string", "An array has no text of its own.", Node(("method_invocation",), s.text_matches(r"\w+\.(?:getBytes|toCharArray|toByteArray)\([^()]*\)\.toString\(\)")), "a.getBytes().toString();", "new String(a.getBytes());", 704, kind="bug", needs=("toString()",)),
    _rule("hash-of-array", "An array has no hash of its content.", Node(("method_invocation",), s.text_matches(r"\w+\.(?:getBytes|toCharArray|toByteArray)\([^()]*\)\.hashCode\(\)")), "a.getBytes().hashCode();", "Arrays.hashCode(a.getBytes());", 704, kind="bug", needs=("hashCode()",)),
    _rule("week-year", "YYYY is the year of the week, wrong around New Year.", _call("SimpleDateFormat", new=True, args={0: r'"[^"]*YYYY(?!.*w)[^"]*"'}), 'new SimpleDateFormat("YYYY-MM-dd");', 'new SimpleDateFormat("yyyy-MM-dd");', 1023, kind="bug"),
    _rule("minutes-for-months", "mm is minutes.", _call("SimpleDateFormat", new=True, args={0: r'"yyyy[-/]?mm[-/]?dd.*"'}), 'new SimpleDateFormat("yyyy-mm-dd");', 'new SimpleDateFormat("yyyy-MM-dd");', 1023, kind="bug"),
    _rule("print-stack", "A trace for nobody.", _call("printStackTrace", count=0), "e.printStackTrace();", 'log.error("a", e);', 209, kind="bug", sure=False),
    _rule("collection-in-itself", "A collection is put into itself.", Node(("method_invocation",), s.text_matches(r"(\w+)\.(?:addAll|removeAll|containsAll|retainAll)\(\1\)")), "a.removeAll(a);", "a.removeAll(b);", 688, kind="bug", needs=("addAll(", "removeAll(", "containsAll(", "retainAll(")),
    _rule("optional-null", "An optional that is null.", Node(("return_statement",), s.text_matches(r"return\s+\(?\s*\(\s*Optional(?:<[^>]*>)?\s*\)\s*null\s*\)?;")), "return (Optional<T>) null;", "return Optional.empty();", 476, kind="bug"),
    _rule("instance-of-null", "toString() of a string literal.", Node(("method_invocation",), s.text_matches(r'"[^"]*"\.toString\(\)')), '"a".toString();', "a.toString();", 1164, kind="bug", sure=False, needs=('".toString()',)),
    _rule("compare-to-one", "compareTo() promises a sign, not one.", Binary(("==", "===", "!=", "!=="), s.whole(r"[\w.]+\.compareTo\([^()]*\)\s*[!=]=\s*-?1")), "r = a.compareTo(b) == 1;", "r = a.compareTo(b) > 0;", 253, kind="bug"),
    _rule("finalizer", "A finalizer that is called by hand.", _call("finalize", on=r"(?!super\b).*\w", count=0), "a.finalize();", "super.finalize();", 586, kind="bug"),
    _rule("interrupt-lost", "An interruption is swallowed.", Node(("catch_clause",), s.text_matches(r"catch\s*\(\s*(?:final\s+)?InterruptedException\s+\w+\s*\)\s*\{\s*\}", 600)), "try { f(); } catch (InterruptedException e) { }", "try { f(); } catch (InterruptedException e) { g(); }", 391, kind="bug"),
)  # fmt: skip
