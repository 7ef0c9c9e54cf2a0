"""C and C++: dangerous functions, slips with sizes, weak cryptography."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from aixmeg.corpus.defects import structure as s
from aixmeg.corpus.defects.rule import COMPUTED, LITERAL, Binary, Call, Match, Node, Pair, Rule


def _rule(rule: str, says: str, match: Match, bad: str, good: str, cwe: int | None = None, *,  # noqa: PLR0917
          kind: Any = "vulnerability", sure: bool = True, needs: tuple[str, ...] = ()) -> Rule:  # fmt: skip
    match = replace(match, needs=needs) if isinstance(match, Node) else match
    return Rule(f"c-{rule}", says, kind, {"c": match}, {"c": bad}, {"c": good}, cwe, sure)


def _call(*names: str, **settings: Any) -> Call:
    return Call(names, **settings)


_COPY = {1: COMPUTED}
_NULL = r"NULL|0|nullptr"
RULES: tuple[Rule, ...] = (
    _rule("gets", "gets() cannot know the size of its buffer.", _call("gets", on="", count=1), "gets(b);", "fgets(b, n, f);", 242),
    _rule("strcpy", "strcpy() of a computed string into a buffer of unknown size.", _call("strcpy", "stpcpy", "lstrcpy", on=r"(?:std)?", args=_COPY), "strcpy(d, p);", 'strcpy(d, "ab");', 120, sure=False),
    _rule("strcat", "strcat() of a computed string into a buffer of unknown size.", _call("strcat", "lstrcat", on=r"(?:std)?", args=_COPY), "strcat(d, p);", 'strcat(d, "ab");', 120, sure=False),
    _rule("wcscpy", "wcscpy() or wcscat() into a buffer of unknown size.", _call("wcscpy", "wcscat", "_tcscpy", "_tcscat", "_mbscpy", "_mbscat", args=_COPY), "wcscpy(d, p);", "wcscpy_s(d, 9, p);", 120, sure=False),
    _rule("sprintf", "sprintf() with %s into a buffer of unknown size.", _call("sprintf", "vsprintf", "wsprintf", on=r"(?:std)?", args={1: r'".*%s.*"'}), 'sprintf(d, "%s!", p);', 'snprintf(d, 9, "%s!", p);', 120, sure=False),
    _rule("scanf", "scanf() of a string without a width.", _call("scanf", "wscanf", args={0: r'".*%[sS\[].*"'}), 'scanf("%s", d);', 'scanf("%9s", d);', 120),
    _rule("sscanf", "sscanf() of a string without a width.", _call("sscanf", "fscanf", "swscanf", args={1: r'".*%[sS\[].*"'}), 'sscanf(t, "%s", d);', 'sscanf(t, "%9s", d);', 120, sure=False),
    _rule("format", "A format string that is not a literal.", _call("printf", "vprintf", "wprintf", on=r"(?:std)?", args={0: r"[a-z_]\w*"}, count=1), "printf(p);", 'printf("%s", p);', 134),
    _rule("format-to-file", "A format string that is not a literal, written to a file.", _call("fprintf", "dprintf", "fwprintf", args={1: r"[a-z_]\w*"}, count=2), "fprintf(f, p);", 'fprintf(f, "%s", p);', 134),
    _rule("format-to-buffer", "A format string that is not a literal, written to a buffer.", _call("snprintf", "swprintf", args={2: r"[a-z_]\w*"}, count=3), "snprintf(d, 9, p);", 'snprintf(d, 9, "%s", p);', 134),
    _rule("syslog-format", "A format string that is not a literal, written to the log.", _call("syslog", args={1: r"[a-z_]\w*"}, count=2), "syslog(1, p);", 'syslog(1, "%s", p);', 134),
    _rule("system", "A command for the shell that is not a literal.", _call("system", on=r"(?:std)?", args={0: COMPUTED}, count=1), "system(p);", 'system("ls");', 78),
    _rule("popen", "A command for the shell that is not a literal, with a pipe.", _call("popen", "_popen", "wpopen", args={0: COMPUTED}, count=2), 'popen(p, "r");', 'popen("ls", "r");', 78, sure=False),
    _rule("execp", "A program is looked for on the PATH.", _call("execlp", "execvp", "execvpe"), 'execlp(p, p, 0);', 'execl("/bin/ls", "ls", 0);', 426, sure=False),
    _rule("winexec", "WinExec() or ShellExecute() of a computed command.", _call("WinExec", args={0: COMPUTED}), "WinExec(p, 1);", 'WinExec("a.exe", 1);', 78),
    _rule("load-library", "A library is loaded by a name that another folder may answer.", _call("LoadLibrary", "LoadLibraryA", "LoadLibraryW", args={0: r'L?"[^\\/:]+"'}), 'LoadLibraryA("x.dll");', 'LoadLibraryA("C:\\\\x.dll");', 427, sure=False),
    _rule("tmpnam", "A temporary name that another process may take first.", _call("tmpnam", "tempnam", "mktemp", "_mktemp", "tmpnam_r"), "tmpnam(b);", "mkstemp(b);", 377),
    _rule("access-then-open", "access() tells what was true, not what is.", _call("access", on="", args={1: r"[RWXF]_OK(?:\s*\|\s*[RWXF]_OK)*"}), "access(p, W_OK);", "faccess(p, W_OK);", 367, sure=False),
    _rule("chmod-all", "A file that everybody may write.", _call("chmod", "fchmod", "mkdir", "creat", args={1: r"0?[0-7]*[2367]"}), "chmod(p, 0777);", "chmod(p, 0755);", 732, sure=False),
    _rule("umask-zero", "umask(0) lets everybody write what is made.", _call("umask", args={0: r"0+"}, count=1), "umask(0);", "umask(077);", 732, sure=False),
    _rule("weak-hash", "MD5, MD4 or SHA-1 by name.", _call("MD5", "MD5_Init", "MD4", "MD2", "EVP_md5", "EVP_md4", "EVP_md2", "SHA1_Init", "EVP_sha1", "CC_MD5"), "EVP_md5();", "EVP_sha256();", 328, sure=False),
    _rule("weak-cipher", "DES, RC4, RC2, Blowfish or IDEA.", _call("EVP_des_cbc", "EVP_des_ecb", "EVP_des_ede3_cbc", "EVP_rc4", "EVP_rc2_cbc", "EVP_bf_cbc", "EVP_idea_cbc", "DES_ecb_encrypt", "DES_ncbc_encrypt", "RC4_set_key"), "EVP_rc4();", "EVP_aes_256_gcm();", 327),
    _rule("ecb", "Electronic code book mode shows patterns of the text.", _call("EVP_aes_128_ecb", "EVP_aes_192_ecb", "EVP_aes_256_ecb", "AES_ecb_encrypt"), "EVP_aes_128_ecb();", "EVP_aes_128_gcm();", 327),
    _rule("old-tls", "An outdated protocol by name.", _call("SSLv2_method", "SSLv3_method", "TLSv1_method", "TLSv1_1_method", "TLSv1_client_method", "SSLv3_client_method", "SSLv3_server_method"), "SSLv3_method();", "TLS_method();", 327),
    _rule("no-verification", "TLS without checking the peer.", _call("SSL_CTX_set_verify", "SSL_set_verify", args={1: r"SSL_VERIFY_NONE|0"}), "SSL_set_verify(s, SSL_VERIFY_NONE, 0);", "SSL_set_verify(s, SSL_VERIFY_PEER, 0);", 295),
    _rule("curl-no-verification", "curl told not to check the peer.", _call("curl_easy_setopt", args={1: r"CURLOPT_SSL_VERIFY(?:PEER|HOST)|CURLOPT_PROXY_SSL_VERIFYPEER", 2: r"0L?|false|FALSE"}), "curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 0L);", "curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L);", 295),
    _rule("short-rsa", "An RSA or DH key below 2,048 bits.", _call("RSA_generate_key", "RSA_generate_key_ex", "DH_generate_parameters_ex", args={1: r"512|768|1024"}), "RSA_generate_key_ex(r, 1024, e, 0);", "RSA_generate_key_ex(r, 3072, e, 0);", 326),
    _rule("random-seed", "A generator seeded with the clock.", _call("srand", "srandom", "srand48", args={0: r"(?:\(\s*\w[\w ]*\)\s*)?(?:std::)?time\s*\(.*\)"}), "srand(time(0));", "srand(seed);", 337, sure=False),
    _rule("crypt", "crypt() with its old methods.", _call("crypt", on="", count=2), "crypt(a, b);", "crypt_r(a, b, c);", 327, sure=False),
    _rule("getlogin", "getlogin() and cuserid() can be deceived.", _call("getlogin", "cuserid"), "getlogin();", "getpwuid(1);", 807, sure=False),
    _rule("getwd", "getwd() cannot know the size of its buffer.", _call("getwd"), "getwd(b);", "getcwd(b, n);", 120),
    _rule("alloca", "alloca() of a computed size.", _call("alloca", "_alloca", args={0: COMPUTED}), "alloca(n);", "alloca(16);", 770, sure=False),
    _rule("vfork", "vfork() shares the parent's memory.", _call("vfork", on=""), "vfork();", "fork();", 362, sure=False),
    _rule("setuid-unchecked", "The outcome of giving up rights is not looked at.", Node(("expression_statement",), s.text_matches(r"(?:setuid|setgid|seteuid|setegid|setreuid|setresuid)\s*\([^()]*\)\s*;")), "setuid(1);", "if (setuid(1)) abort();", 252, needs=("uid", "gid")),
    _rule("hardcoded-password", "A password is written down.", Pair("password", r'L?"[^"%{}<>\s]{4,}"'), 'o->password = "s3cr3t-w";', "o->password = p;", 798, sure=False),
    _rule("sql-printf", "SQL put together by printf.", _call("sprintf", "snprintf", "asprintf", args={-2: r'"\s*(?:SELECT|INSERT|UPDATE|DELETE)\b.*\'%s\'.*"'}), "sprintf(q, \"SELECT * FROM t WHERE a='%s'\", p);", 'sprintf(q, "SELECT %d", n);', 89),
    _rule("memcpy-strlen", "memcpy() of strlen() bytes leaves the terminator out.", _call("memcpy", "strncpy", args={2: r"(?:std::)?strlen\s*\(\s*\w+\s*\)"}), "strncpy(d, p, strlen(p));", "memcpy(d, p, strlen(p) + 1);", 170, sure=False),
    _rule("is-bad-pointer", "IsBadReadPtr() and its like hide faults.", _call("IsBadReadPtr", "IsBadWritePtr", "IsBadStringPtr", "IsBadCodePtr"), "IsBadReadPtr(p, 4);", "p != 0;", 730),
    _rule("gethostbyname", "gethostbyname() shares one buffer, and knows no IPv6.", _call("gethostbyname", "gethostbyaddr", "inet_ntoa"), "gethostbyname(p);", "getaddrinfo(p, 0, 0, r);", 663, sure=False),
    _rule("null-dacl", "A security descriptor that lets everybody in.", _call("SetSecurityDescriptorDacl", args={1: r"TRUE|1|true", 2: _NULL}), "SetSecurityDescriptorDacl(p, TRUE, NULL, FALSE);", "SetSecurityDescriptorDacl(p, TRUE, acl, FALSE);", 732),
    # Bugs.
    _rule("malloc-strlen", "No room for the string's terminator.", _call("malloc", args={0: r"(?:std::)?strlen\s*\(\s*[\w>.\-]+\s*\)"}), "p = malloc(strlen(q));", "p = malloc(strlen(q) + 1);", 131, kind="bug"),
    _rule("malloc-strlen-plus-inside", "strlen(p + 1) where strlen(p) + 1 was meant.", _call("malloc", "xmalloc", args={0: r"(?:std::)?strlen\s*\(\s*\w+\s*\+\s*1\s*\)"}), "p = malloc(strlen(q + 1));", "p = malloc(strlen(q) + 1);", 131, kind="bug"),
    _rule("memset-swapped", "memset() of zero bytes: value and size are swapped.", _call("memset", on=r"(?:std)?", args={2: r"0", 1: r".*sizeof.*|\w*(?:size|len)\w*"}), "memset(p, sizeof q, 0);", "memset(p, 0, sizeof q);", 688, kind="bug"),
    _rule("memset-sizeof-pointer-cast", "sizeof of sizeof.", Node(("sizeof_expression",), s.text_matches(r"sizeof\s*\(?\s*sizeof\b.*")), "n = sizeof(sizeof(a));", "n = sizeof(a);", 467, kind="bug"),
    _rule("sizeof-arithmetic", "sizeof of a sum with a number.", Node(("sizeof_expression",), s.text_matches(r"sizeof\s*\(\s*[a-z_]\w*\s*[+-]\s*\d+\s*\)")), "n = sizeof(a + 1);", "n = sizeof(a) + 1;", 467, kind="bug"),
    _rule("realloc-same", "A failed realloc() loses the only pointer.", Binary(("=",), s.whole(r"(\w+)\s*=\s*(?:\([^()]*\)\s*)?realloc\s*\(\s*\1\s*,.*")), "p = realloc(p, n);", "q = realloc(p, n);", 401, kind="bug", sure=False),
    _rule("feof-loop", "feof() is true only after a read has failed.", Node(("while_statement",), s.text_matches(r"while\s*\(\s*!\s*feof\s*\(.*", 4000)), "while (!feof(f)) { g(); }", "while (fgets(b, 9, f)) { g(); }", 670, kind="bug", needs=("feof",)),
    _rule("fflush-stdin", "fflush(stdin) is undefined.", _call("fflush", args={0: "stdin"}), "fflush(stdin);", "fflush(stdout);", 758, kind="bug"),
    _rule("strcmp-one", "strcmp() promises a sign, not one.", Binary(("==", "===", "!=", "!=="), s.whole(r"(?:std::)?(?:strcmp|strncmp|memcmp|strcasecmp|stricmp)\s*\([^()]*\)\s*[!=]=\s*-?1")), "r = strcmp(a, b) == 1;", "r = strcmp(a, b) == 0;", 253, kind="bug"),
    _rule("strcmp-literal", "A string literal compared by address.", Binary(("==", "===", "!=", "!=="), s.whole(r'(?:[a-z_]\w*\s*[!=]=\s*L?"[^"]*")')), 'r = name == "x";', 'r = strcmp(name, "x") == 0;', 597, kind="bug", sure=False),
    _rule("assert-assigns", "An assertion with an effect is gone in a release.", _call("assert", args={0: r"\w+\s*=[^=].*|\w+(?:\+\+|--)|(?:\+\+|--)\w+"}), "assert(a = 1);", "assert(a == 1);", 1176, kind="bug"),
    _rule("assert-literal", "An assertion that a string literal makes true.", _call("assert", args={0: r'L?"[^"]*"'}), 'assert("never");', 'assert(!"never");', 571, kind="bug"),
    _rule("delete-this-array", "delete of a new[] in one expression.", Node(("delete_expression",), s.text_matches(r"delete\s+\(?\s*new\s+.*\[.*")), "delete new int[3];", "delete[] new int[3];", 762, kind="bug"),
    _rule("catch-by-value", "An exception caught by value loses its type.", Node(("catch_clause",), s.text_matches(r"catch\s*\(\s*(?:const\s+)?std::\w*(?:exception|error)\s+\w+\s*\).*", 4000)), "try { f(); } catch (std::exception e) { g(); }", "try { f(); } catch (const std::exception& e) { g(); }", 396, kind="bug", needs=("std::",)),
    _rule("throw-new", "A pointer is thrown.", Node(("throw_statement",), s.text_matches(r"throw\s+new\b.*")), "throw new E();", "throw E();", 397, kind="bug"),
    _rule("auto-ptr", "auto_ptr gives its object away when it is copied.", Node(("template_type",), s.text_matches(r"auto_ptr\s*<.*")), "std::auto_ptr<T> p;", "std::unique_ptr<T> p;", 477, kind="bug"),
    _rule("random-shuffle", "random_shuffle() is gone since C++17.", _call("random_shuffle"), "std::random_shuffle(a, b);", "std::shuffle(a, b, g);", 477, kind="bug"),
    _rule("increment-assigned", "`i = i++` is undefined, or does nothing.", Binary(("=",), s.whole(r"(\w+)\s*=\s*\1\s*(?:\+\+|--)")), "a = a++;", "a = b++;", 758, kind="bug"),
    _rule("bool-increment", "A truth value is incremented.", Node(("update_expression",), s.text_matches(r"(?:true|false)\s*(?:\+\+|--)")), "true++;", "a++;", 704, kind="bug"),
    _rule("loop-char-eof", "EOF does not fit a char.", Node(("declaration",), s.text_matches(r"(?:unsigned\s+)?char\s+\w+\s*=\s*f?getc(?:har)?\s*\(.*")), "char a = getchar();", "int a = getchar();", 197, kind="bug", needs=("getc",)),
    _rule("strncat-size", "strncat() wants the room that is left.", _call("strncat", args={2: r"sizeof\s*\(?\s*\w+\s*\)?"}), "strncat(d, p, sizeof(d));", "strncat(d, p, sizeof(d) - strlen(d) - 1);", 193, kind="bug"),
    _rule("abs-unsigned", "The absolute value of a difference of sizes.", _call("abs", args={0: r"sizeof\b.*"}), "abs(sizeof(a) - n);", "abs(a - n);", 195, kind="bug"),
    _rule("free-stack", "free() of an address of a variable.", _call("free", on="", args={0: r"&\s*\w+"}), "free(&a);", "free(a);", 590, kind="bug"),
    _rule("usleep-long", "usleep() of a second or more.", _call("usleep", args={0: r"[1-9]\d{6,}"}), "usleep(2000000);", "usleep(2000);", 758, kind="bug", sure=False),
    _rule("strtok", "strtok() keeps its place in one variable for all threads.", _call("strtok", on=""), 'strtok(p, ",");', 'strtok_r(p, ",", q);', 663, kind="bug", sure=False),
    _rule("signal-unsafe", "printf() or malloc() named as a signal handler.", _call("signal", args={1: r"printf|malloc|exit|free"}), "signal(2, exit);", "signal(2, SIG_IGN);", 479, kind="bug"),
    _rule("move-of-const-return", "std::move of what is returned hinders the compiler.", Node(("return_statement",), s.text_matches(r"return\s+std::move\s*\(\s*\w+\s*\)\s*;")), "return std::move(a);", "return a;", None, kind="bug", sure=False, needs=("std::move",)),
    _rule("string-from-null", "A string made of a null pointer.", Node(("init_declarator", "assignment_expression"), s.text_matches(r"\w+\s*=\s*std::string\s*\(\s*(?:NULL|nullptr)\s*\)")), "a = std::string(nullptr);", 'a = std::string("");', 476, kind="bug", needs=("std::string",)),
    _rule("erase-remove", "remove() of an algorithm does not remove.", Node(("expression_statement",), s.result_unused(re.compile(r"^(?:std::)?(?:remove|unique)\s*\(\s*\w+\.begin\(\).*\)$", re.DOTALL))), "std::remove(v.begin(), v.end(), 1);", "v.erase(std::remove(v.begin(), v.end(), 1), v.end());", 252, kind="bug", needs=("remove", "unique")),
    _rule("empty-unused", "empty() asks, clear() empties.", Node(("expression_statement",), s.result_unused(re.compile(r"^[\w.>-]+(?:\.|->)empty\s*\(\s*\)$"))), "v.empty();", "v.clear();", 252, kind="bug", needs=("empty",)),
    _rule("format-literal-count", "%n writes into memory.", _call("printf", "sprintf", "fprintf", args={-2: r'"[^"]*%n[^"]*"'}), 'printf("a%n", &n);', 'printf("a%d", n);', 134, sure=False),
    _rule("literal-key", "A key is written down.", _call("AES_set_encrypt_key", "AES_set_decrypt_key", "DES_set_key", args={0: LITERAL}), 'AES_set_encrypt_key("0123456789abcdef", 128, k);', "AES_set_encrypt_key(p, 128, k);", 321),
)  # fmt: skip
