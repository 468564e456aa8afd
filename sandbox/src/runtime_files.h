// Whether what a runtime is made of has changed on disk since its zygote read it.
#pragma once

#include <string>

#include "sandbox/policy.h"

namespace carrel::sandbox {

// A text that is the same as long as the manifest and the files that the policy binds from the runtime's own directory
// are: their numbers, sizes and times of writing, and for a directory those of its entries (one level: a package that
// is installed, removed or replaced changes it; beyond 2000 entries, in the order of their names, only the names). What
// comes from the system (/usr) is not looked at.
[[nodiscard]] std::string FingerprintRuntime(const Policy& policy);

}  // namespace carrel::sandbox
