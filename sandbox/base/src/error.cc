#include "sandbox/base/error.h"

#include "absl/strings/string_view.h"

namespace carrel {

absl::Status ErrnoStatus(int error, std::string_view what) {
  return absl::ErrnoToStatus(error, absl::string_view(what.data(), what.size()));
}

}  // namespace carrel
