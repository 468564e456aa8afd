// The first key of a data directory: made before the gateway's first start, so that it is ours and not the gateway's to
// write. A gateway that was taken over cannot make root read another file in its place.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace carrel::cli {

struct RootKey {
  std::string key;    // "": the gateway knows keys already, and none of them is kept here
  bool made = false;  // just now, and by us: to be shown once
};

// What DATA/root.key holds; else, before the first start (`first`), CARREL_BOOTSTRAP_KEY or a new one, which is kept
// there (mode 0600). INVALID_ARGUMENT: CARREL_BOOTSTRAP_KEY is too short or no single line.
[[nodiscard]] absl::StatusOr<RootKey> PrepareRootKey(const std::string& data_dir, bool first);

}  // namespace carrel::cli
