"""JavaScript and TypeScript: injection, weak cryptography, unsafe settings, slips with types."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from aixmeg.corpus.defects import structure as s
from aixmeg.corpus.defects.rule import COMPUTED, LITERAL, Binary, Call, Match, Node, Pair, Rule


def _rule(rule: str, says: str, match: Match, bad: str, good: str, cwe: int | None = None, *,  # noqa: PLR0917
          kind: Any = "vulnerability", sure: bool = True, needs: tuple[str, ...] = ()) -> Rule:  # fmt: skip
    match = replace(match, needs=needs) if isinstance(match, Node) else match
    return Rule(f"js-{rule}", says, kind, {"js": match}, {"js": bad}, {"js": good}, cwe, sure)


def _call(*names: str, **settings: Any) -> Call:
    return Call(names, **settings)


_REQUEST = r".*\breq(?:uest)?\.(?:query|body|params|headers|cookies)\b.*"
_HOLES = r"""`.*\$\{.*`|.*['"]\s*\+.*|.*\+\s*['"].*"""
RULES: tuple[Rule, ...] = (
    _rule("eval", "Code that is not a literal.", _call("eval", on=r"(?:window|globalThis|global)?", args={0: COMPUTED}), "eval(a);", "eval('1');", 95, sure=False),
    _rule("new-function", "A function made from text.", _call("Function", new=True, args={-1: COMPUTED}), "new Function('a', b);", "new Function('a', 'return a');", 95, sure=False),
    _rule("timer-code", "A timer that runs text.", _call("setTimeout", "setInterval", on=r"(?:window|globalThis)?", args={0: r"""['"].*['"]|.*['"]\s*\+.*"""}), "setTimeout('f()', 1);", "setTimeout(f, 1);", 95),
    _rule("exec", "A command for the shell that is put together.", _call("exec", "execSync", on=r"(?:\w*child_process|cp|shell|childProcess)?", args={0: _HOLES}), "exec(`ls ${a}`);", "exec('ls');", 78),
    _rule("spawn-shell", "A process with a shell and computed words.", _call("spawn", "spawnSync", "execFile", args={0: COMPUTED, -1: r".*shell\s*:\s*true.*"}), "spawn(a, b, {shell: true});", "spawn(a, b, {});", 78, sure=False),
    _rule("document-write", "Markup that is not a literal.", _call("write", "writeln", on=r"(?:window\.)?document", args={0: COMPUTED}), "document.write(a);", "document.write('<p>');", 79, sure=False),
    _rule("inner-html", "Markup put together from parts.", Pair("innerHTML", _HOLES), "e.innerHTML = '<b>' + a;", "e.innerHTML = '';", 79, sure=False),
    _rule("outer-html", "Markup put together from parts, in the place of an element.", Pair("outerHTML", _HOLES), "e.outerHTML = `<b>${a}`;", "e.outerHTML = '';", 79, sure=False),
    _rule("adjacent-html", "Markup put together from parts, beside an element.", _call("insertAdjacentHTML", args={1: _HOLES}), "e.insertAdjacentHTML('afterend', '<b>' + a);", "e.insertAdjacentHTML('afterend', '<b>');", 79, sure=False),
    _rule("react-html", "React told to take markup as it is.", Node(("jsx_attribute",), s.text_matches(r"dangerouslySetInnerHTML=.*", 2000)), "r = <p dangerouslySetInnerHTML={{__html: a}} />;", "r = <p>{a}</p>;", 79, sure=False),
    _rule("script-url", "A link that runs code.", Pair("href", r"""['"`]javascript:(?!void|;|\/\/).+"""), "a.href = 'javascript:f()';", "a.href = 'https://example.org';", 79),
    _rule("weak-hash", "MD5 or SHA-1.", _call("createHash", args={0: r"""['"](?i:md[45]|sha-?1|ripemd160)['"]"""}), "crypto.createHash('md5');", "crypto.createHash('sha256');", 328, sure=False),
    _rule("create-cipher", "A cipher whose key is a password, without a vector.", _call("createCipher", "createDecipher", args={1: COMPUTED}, count=2), "crypto.createCipher('aes192', p);", "crypto.createCipheriv('aes-256-gcm', k, v);", 327),
    _rule("weak-cipher", "DES, RC4 or electronic code book mode.", _call("createCipheriv", "createDecipheriv", args={0: r"""['"](?i:des\b.*|des-.*|rc[24].*|bf-.*|aes-\d+-ecb)['"]"""}), "crypto.createCipheriv('aes-128-ecb', k, v);", "crypto.createCipheriv('aes-256-gcm', k, v);", 327),
    _rule("static-iv", "An initialisation vector that is written down.", _call("createCipheriv", args={2: r"""(?:Buffer\.(?:from|alloc)\(\s*)?(?:['"].*['"]|\d+)\)?"""}), "crypto.createCipheriv('aes-256-cbc', k, Buffer.alloc(16));", "crypto.createCipheriv('aes-256-cbc', k, v);", 329),
    _rule("literal-key", "A key that is written down.", _call("createCipheriv", "createHmac", args={1: r"""['"][^'"]+['"]"""}), "crypto.createHmac('sha256', 'key');", "crypto.createHmac('sha256', key);", 321, sure=False),
    _rule("pseudo-random", "Bytes that are not random enough.", _call("pseudoRandomBytes"), "crypto.pseudoRandomBytes(9);", "crypto.randomBytes(9);", 338),
    _rule("weak-random", "Numbers for a secret from a predictable generator.", Node(("variable_declarator", "assignment_expression"), s.text_matches(r"(?i:\w*(?:token|password|secret|salt|nonce|sessionid)\w*)\s*=.*Math\.random\(.*")), "const token = Math.random();", "const token = crypto.randomUUID();", 338, needs=("Math.random",)),
    _rule("few-rounds", "A password hashed with few rounds.", _call("pbkdf2", "pbkdf2Sync", args={2: r"\d{1,3}"}), "crypto.pbkdf2Sync(a, b, 100, 32, 'sha256');", "crypto.pbkdf2Sync(a, b, 600000, 32, 'sha256');", 916),
    _rule("few-bcrypt-rounds", "bcrypt with few rounds.", _call("hash", "hashSync", "genSalt", "genSaltSync", on=r"bcrypt\w*", args={-1: r"[1-7]"}), "bcrypt.hashSync(a, 5);", "bcrypt.hashSync(a, 12);", 916),
    _rule("short-key", "A key below 2,048 bits.", Pair("modulusLength", r"512|768|1024"), "r = {modulusLength: 1024};", "r = {modulusLength: 3072};", 326),
    _rule("no-verification", "TLS without checking the peer.", Pair("rejectUnauthorized", "false"), "r = {rejectUnauthorized: false};", "r = {rejectUnauthorized: true};", 295, sure=False),
    _rule("no-verification-anywhere", "TLS without checking any peer.", Pair("NODE_TLS_REJECT_UNAUTHORIZED", r"""['"]?0['"]?"""), "process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';", "process.env.NODE_TLS_REJECT_UNAUTHORIZED = '1';", 295, sure=False),
    _rule("strict-ssl", "TLS without checking the peer, by another name.", Pair("strictSSL", "false"), "r = {strictSSL: false};", "r = {strictSSL: true};", 295),
    _rule("old-tls", "An outdated protocol by name.", Pair("secureProtocol", r"""['"](?:SSLv[23]|TLSv1|TLSv1_1)_\w*method['"]"""), "r = {secureProtocol: 'SSLv3_method'};", "r = {secureProtocol: 'TLS_method'};", 327),
    _rule("min-tls", "Outdated protocols are allowed.", Pair("minVersion", r"""['"]TLSv1(?:\.1)?['"]"""), "r = {minVersion: 'TLSv1'};", "r = {minVersion: 'TLSv1.2'};", 327),
    _rule("vm", "vm is no sandbox.", _call("runInNewContext", "runInThisContext", "runInContext", args={0: COMPUTED}), "vm.runInNewContext(a);", "vm.runInNewContext('1');", 94, sure=False),
    _rule("post-message", "A message for any site.", _call("postMessage", args={1: r"""['"]\*['"]"""}), "w.postMessage(a, '*');", "w.postMessage(a, o);", 346, sure=False),
    _rule("sql", "SQL put together from parts.", _call("query", "execute", "raw", "exec", args={0: r"""[`'"]\s*(?i:select\b.*\bfrom|insert\s+into|update\b.*\bset|delete\s+from)\b.*(?:\$\{|['"]\s*\+).*"""}), "db.query('SELECT a FROM t WHERE b=' + c);", "db.query('SELECT a FROM t WHERE b=?', [c]);", 89),
    _rule("redirect", "A redirect to where the request says.", _call("redirect", on=r"res(?:ponse)?", args={-1: _REQUEST}), "res.redirect(req.query.u);", "res.redirect('/home');", 601),
    _rule("reflected", "What the request holds is sent back.", _call("send", "write", "end", on=r"res(?:ponse)?(?:\.status\(.*\))?", args={0: _REQUEST}), "res.send(req.query.a);", "res.send('a');", 79),
    _rule("path", "A file by the name that the request gives.", _call("readFile", "readFileSync", "createReadStream", "sendFile", "unlink", "writeFile", args={0: _REQUEST}), "fs.readFile(req.query.f, g);", "fs.readFile('f', g);", 22),
    _rule("request-forgery", "A connection to where the request says.", _call("fetch", "get", "request", "axios", on=r"(?:axios|https?|got|request|window)?", args={0: _REQUEST}), "fetch(req.query.u);", "fetch('https://example.org');", 918),
    _rule("require", "A module that the request names.", _call("require", on="", args={0: _REQUEST}), "require(req.query.m);", "require('m');", 98),
    _rule("regex-from-request", "A pattern that the request gives.", _call("RegExp", new=True, args={0: _REQUEST}), "new RegExp(req.query.r);", "new RegExp('r');", 1333),
    _rule("prototype", "The prototype of all objects is changed.", Binary(("=",), s.whole(r"\w+(?:\.__proto__|\[['\"]__proto__['\"]\])\.\w+\s*=.*")), "a.__proto__.b = 1;", "a.b = 1;", 1321),
    _rule("native-prototype", "A built-in type is extended.", Binary(("=",), s.whole(r"(?:Object|Array|String|Function|Number)\.prototype\.\w+\s*=.*", 4000)), "Array.prototype.last = f;", "A.prototype.last = f;", 1321, sure=False),
    _rule("jwt-none", "A token without a signature is accepted.", Pair("algorithms", r"""\[.*['"]none['"].*\]"""), "r = {algorithms: ['none']};", "r = {algorithms: ['RS256']};", 347),
    _rule("jwt-unverified", "A token that is read without being checked.", _call("verify", on=r"jwt", args={1: r"null|undefined|''|false"}), "jwt.verify(t, null);", "jwt.verify(t, k);", 347),
    _rule("jwt-literal", "A secret that is written down.", _call("sign", "verify", on=r"jwt|jsonwebtoken", args={1: r"""['"][^'"]+['"]"""}), "jwt.sign(a, 'secret');", "jwt.sign(a, k);", 798, sure=False),
    _rule("session-secret", "A session's secret that is written down.", _call("session", args={0: r"""\{.*\bsecret\s*:\s*['"][^'"]+['"].*\}"""}), "session({secret: 'cat'});", "session({secret: s});", 798, sure=False),
    _rule("any-origin", "Any site may ask.", _call("cors", args={0: r"""\{.*origin\s*:\s*['"]\*['"].*\}"""}), "cors({origin: '*'});", "cors({origin: o});", 942, sure=False),
    _rule("any-origin-header", "Any site may read the answer.", _call("setHeader", "header", "set", on=r"res(?:ponse)?", args={0: r"""['"]Access-Control-Allow-Origin['"]""", 1: r"""['"]\*['"]"""}), "res.setHeader('Access-Control-Allow-Origin', '*');", "res.setHeader('Access-Control-Allow-Origin', o);", 942, sure=False),
    _rule("cookie-script", "A cookie that scripts may read.", Pair("httpOnly", "false"), "r = {httpOnly: false};", "r = {httpOnly: true};", 1004, sure=False),
    _rule("no-escape", "A template without escaping.", Pair("noEscape", "true"), "r = {noEscape: true};", "r = {noEscape: false};", 79),
    _rule("xml-entities", "External entities are followed.", Pair("noent", "true"), "r = {noent: true};", "r = {noent: false};", 611),
    _rule("node-integration", "A page with the rights of Node.", Pair("nodeIntegration", "true"), "r = {nodeIntegration: true};", "r = {nodeIntegration: false};", 829, sure=False),
    _rule("context-isolation", "A page that shares objects with its frame.", Pair("contextIsolation", "false"), "r = {contextIsolation: false};", "r = {contextIsolation: true};", 829, sure=False),
    _rule("web-security", "A page without the rule of one origin.", Pair("webSecurity", "false"), "r = {webSecurity: false};", "r = {webSecurity: true};", 346),
    _rule("insecure-content", "A page that loads over plain connections.", Pair("allowRunningInsecureContent", "true"), "r = {allowRunningInsecureContent: true};", "r = {allowRunningInsecureContent: false};", 319),
    _rule("host-check", "A server for any name.", Pair("disableHostCheck", "true"), "r = {disableHostCheck: true};", "r = {disableHostCheck: false};", 350),
    _rule("csp", "Protection of content is turned off.", Pair("contentSecurityPolicy", "false"), "r = {contentSecurityPolicy: false};", "r = {contentSecurityPolicy: p};", 693, sure=False),
    _rule("literal-password", "A password that is written down.", Pair("password", r"""['"](?!(?i:password|passwd|secret|test|x+|\*+|your.*|example.*)['"])[^'"\s<>{}$]{6,}['"]"""), "r = {password: 'hunter22'};", "r = {password: p};", 798, sure=False),
    _rule("yaml-load", "A YAML reader that makes functions.", _call("load", on=r"(?:js)?[yY]aml", args={1: r".*DEFAULT_FULL_SCHEMA.*"}), "yaml.load(a, {schema: yaml.DEFAULT_FULL_SCHEMA});", "yaml.load(a, {schema: s});", 502),
    _rule("unserialize", "Functions are made from text.", _call("unserialize", on=r"(?:node)?[sS]erialize\w*"), "serialize.unserialize(a);", "serialize.serialize(a);", 502),
    _rule("world-writable", "A file that everybody may write.", _call("chmod", "chmodSync", args={1: r"""0o777|0o666|['"]0?(?:777|666)['"]|511"""}), "fs.chmodSync(f, 0o777);", "fs.chmodSync(f, 0o755);", 732),
    # Bugs.
    _rule("nan", "NaN is equal to nothing.", Binary(("==", "===", "!=", "!=="), s.either_side(r"(?:Number\.)?NaN")), "r = a === NaN;", "r = Number.isNaN(a);", 1077, kind="bug"),
    _rule("minus-zero", "Zero has two signs, which comparison does not see.", Binary(("==", "==="), s.either_side(r"-0(?:\.0*)?")), "r = a === -0;", "r = Object.is(a, -0);", 1077, kind="bug"),
    _rule("typeof", "typeof never gives this word.", Binary(("==", "===", "!=", "!=="), s.whole(r"""typeof\s+[\w.]+\s*[!=]==?\s*['"](?!(?:undefined|object|boolean|number|string|function|symbol|bigint|unknown|date)['"]).*['"]""")), "r = typeof a === 'strnig';", "r = typeof a === 'string';", 570, kind="bug"),
    _rule("new-object-compare", "A new object is equal to nothing.", Binary(("==", "==="), s.either_side(r"\[\s*\]|\{\s*\}")), "r = a === [];", "r = a.length === 0;", 595, kind="bug"),
    _rule("delete-element", "delete leaves a hole in an array.", Node(("unary_expression",), s.text_matches(r"delete\s+\w+\[\d+\]")), "delete a[0];", "delete a['b'];", 1164, kind="bug", sure=False),
    _rule("string-result", "Strings do not change: the result is thrown away.", Node(("expression_statement",), s.result_unused(re.compile(r"\.(?:trim|toUpperCase|toLowerCase|substring|substr|concat|padStart|padEnd|trimStart|trimEnd)\([^()]*\)$"))), "a.trim();", "a = a.trim();", 252, kind="bug", sure=False, needs=(".trim", ".toUpperCase(", ".toLowerCase(", ".substr", ".concat(", ".pad")),
    _rule("array-result", "map() and filter() make a new array, which is thrown away.", Node(("expression_statement",), s.result_unused(re.compile(r"^\w+\.(?:filter|slice|concat)\([\w\s,=>.]*\)$"))), "a.filter(b);", "a = a.filter(b);", 252, kind="bug", needs=(".filter(", ".slice(", ".concat(")),
    _rule("parse-int-map", "map() gives parseInt the index as its base.", _call("map", args={0: r"(?:Number\.)?parseInt"}, count=1), "a.map(parseInt);", "a.map(Number);", 628, kind="bug"),
    _rule("buffer-constructor", "A constructor that may show old memory.", _call("Buffer", new=True), "new Buffer(9);", "Buffer.alloc(9);", 477, kind="bug"),
    _rule("wrapper-object", "An object around a plain value is always true.", _call("Boolean", "String", "Number", new=True, count=1), "new Boolean(a);", "Boolean(a);", 1025, kind="bug", sure=False),
    _rule("new-symbol", "Symbol and BigInt are no constructors.", _call("Symbol", "BigInt", new=True), "new Symbol('a');", "Symbol('a');", 628, kind="bug"),
    _rule("call-math", "Math, JSON and Reflect are no functions.", _call("Math", "JSON", "Reflect", "Atomics", on=""), "Math(1);", "Math.abs(1);", 628, kind="bug"),
    _rule("promise-async", "An async executor loses its errors.", _call("Promise", new=True, args={0: r"async\b.*"}), "new Promise(async (r) => { r(); });", "new Promise((r) => { r(); });", 755, kind="bug", sure=False),
    _rule("foreach-async", "forEach() waits for nothing.", _call("forEach", args={0: r"async\b.*"}), "a.forEach(async (b) => { await b; });", "a.forEach((b) => { f(b); });", 362, kind="bug"),
    _rule("index-positive", "A match at the beginning is missed.", Binary((">",), s.whole(r"[\w.]+\.indexOf\([^()]*\)\s*>\s*0")), "r = a.indexOf('b') > 0;", "r = a.indexOf('b') >= 0;", 193, kind="bug", sure=False),
    _rule("index-as-truth", "indexOf() gives -1, which is true.", Node(("if_statement",), s.text_matches(r"if\s*\(\s*!?\s*[\w.]+\.indexOf\([^()]*\)\s*\).*", 4000)), "if (a.indexOf('b')) { f(); }", "if (a.includes('b')) { f(); }", 253, kind="bug", needs=(".indexOf(",)),
    _rule("sort-numbers", "sort() compares as text.", Node(("call_expression",), s.text_matches(r"\[(?:\s*\d+\s*,?)+\]\.sort\(\)")), "[10, 9].sort();", "[10, 9].sort(f);", 1025, kind="bug", needs=("].sort()",)),
    _rule("with", "with hides where a name comes from.", Node(("with_statement",), s.text_matches(r".*", 100000)), "with (a) { b(); }", "a.b();", 477, kind="bug"),
    _rule("comma-in-condition", "Only what stands behind the comma counts.", Node(("if_statement",), s.text_matches(r"if\s*\(\s*\w+\s*,\s*\w+\s*\).*", 4000)), "if (a, b) { f(); }", "if (a && b) { f(); }", 480, kind="bug"),
    _rule("empty-pattern", "A pattern that takes nothing out.", Node(("object_pattern", "array_pattern"), s.text_matches(r"\{\s*\}|\[\s*\]")), "const {} = a;", "const {b} = a;", 1164, kind="bug"),
    _rule("empty-class", "An empty class of characters matches nothing.", Node(("regex",), s.text_matches(r"/(?:[^\\\[]|\\.)*\[\](?!.*\]).*")), "r = /a[]/;", "r = /a[b]/;", 1023, kind="bug"),
    _rule("throw-literal", "A text that is thrown has no trace.", Node(("throw_statement",), s.text_matches(r"""throw\s+(?:['"`].*|\d+|null|undefined)\s*;?""")), "throw 'a';", "throw new Error('a');", 397, kind="bug", sure=False, needs=("throw",)),
    _rule("constructor-returns", "An assignment to a class's own name.", Binary(("=",), s.whole(r"(?:undefined|NaN|Infinity)\s*=[^=].*")), "undefined = 1;", "a = 1;", 481, kind="bug"),
    _rule("in-array", "`in` looks for an index, not for a value.", Binary(("in",), s.whole(r"""['"]?\w+['"]?\s+in\s+\[.*\]""")), "r = a in [1, 2];", "r = [1, 2].includes(a);", 480, kind="bug"),
    _rule("loss-of-precision", "A number that a double cannot hold.", Node(("number",), s.text_matches(r"(?:9007199254740993|9[1-9]\d{14}|[1-9]\d{16,})(?<!0)")), "r = 9007199254740993;", "r = 9007199254740993n;", 197, kind="bug"),
    _rule("date-month", "A month is counted from 0.", _call("Date", new=True, args={1: r"12", 2: r"\d+"}), "new Date(2024, 12, 1);", "new Date(2024, 11, 1);", 682, kind="bug"),
    _rule("unescape", "escape() and unescape() know no Unicode.", _call("escape", "unescape", on=""), "unescape(a);", "decodeURIComponent(a);", 477, kind="bug", sure=False),
    _rule("reduce-empty", "reduce() of an empty array literal.", Node(("call_expression",), s.text_matches(r"\[\s*\]\.reduce\(\s*\w+\s*\)")), "[].reduce(f);", "[].reduce(f, 0);", 754, kind="bug", needs=("].reduce(",)),
    _rule("literal-call", "A template in the place of a call's parentheses.", Node(("call_expression",), s.text_matches(r"(?:parseInt|parseFloat|Number|isNaN)\s*\(\s*\)")), "parseInt();", "parseInt(a);", 628, kind="bug", needs=("parseInt()", "parseFloat()", "Number()", "isNaN()")),
    _rule("literal-arguments", "The name of a variable is written as text.", _call("hasOwnProperty", args={0: r"undefined|null"}), "a.hasOwnProperty(undefined);", "a.hasOwnProperty(b);", 628, kind="bug"),
    _rule("sort-random", "A random comparison does not shuffle.", _call("sort", args={0: r".*Math\.random\(\).*"}), "a.sort(() => Math.random() - 0.5);", "a.sort((b, c) => b - c);", 1025, kind="bug"),
    _rule("cipher-literal", "A hash compared with ==, whose time tells how much agrees.", Binary(("==", "===", "!=", "!=="), s.whole(r"\w*(?i:hmac|digest|signature)\w*\s*[!=]==?\s*\w*(?i:hmac|digest|signature|hash)\w*")), "r = hmac === givenHmac;", "r = timingSafeEqual(hmac, given);", 208, sure=False),
    _rule("literal-token", "A secret in local storage, which every script reads.", _call("setItem", on=r".*localStorage", args={0: r"""['"].*(?i:token|password|secret).*['"]"""}), "localStorage.setItem('token', t);", "localStorage.setItem('theme', t);", 922, sure=False),
    _rule("buffer-unsafe", "Memory that holds what was there before.", _call("allocUnsafe", "allocUnsafeSlow", args={0: COMPUTED}), "Buffer.allocUnsafe(n);", "Buffer.alloc(n);", 908, sure=False),
    _rule("basic-auth", "Credentials inside an address.", _call("fetch", "get", "request", args={0: r"""['"]https?://[^/'"\s:@$]+:[^/'"\s:@$]+@.*['"]"""}), "fetch('https://user:" + "pw@example.org');", "fetch('https://example.org');", 798),
    _rule("literal-sql-template", "Text in a template is put into SQL.", Node(("template_string",), s.text_matches(r"`\s*(?i:select\b.*\bfrom\b.*\bwhere\b.*=\s*'\$\{.*)", 2000)), "r = `SELECT a FROM t WHERE b='${c}'`;", "r = `SELECT a FROM t`;", 89, needs=("SELECT", "select")),
    _rule("literal-argument-key", "A key that is written down, for another library.", _call("encrypt", "decrypt", on=r"(?:CryptoJS\.)?(?:AES|DES|TripleDES|RC4)", args={1: LITERAL}), "CryptoJS.AES.encrypt(a, 'key');", "CryptoJS.AES.encrypt(a, key);", 321),
    _rule("crypto-js-weak", "A weak method of another library.", _call("MD5", "SHA1", on=r"CryptoJS"), "CryptoJS.MD5(a);", "CryptoJS.SHA256(a);", 328, sure=False),
)  # fmt: skip
