// tree-sitter's own C library, from the unpacked source distribution that setup.py puts on the include path.
#include "lib.c"
