#include "api.h"

// Raised when a signature changes, so that a stale build is told from a current one.
AIXMEG_API int32_t aixmeg_data_version() { return 2; }
