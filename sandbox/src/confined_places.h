// The directories that sessions of the tier `confined` have one after the other.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "sandbox/base/unique_fd.h"

namespace carrel::sandbox {

// Each of kConfinedPlaces must be a tmpfs of its own, with a size, that we can write to; and, outside of a container,
// empty: they will be emptied after each session. FAILED_PRECONDITION with the mend.
[[nodiscard]] absl::Status CheckConfinedPlaces();

// One jailer at a time has them: a lock that lives as long as the descriptor and its copies. Waits for at most `wait`.
// FAILED_PRECONDITION: another jailer has them.
[[nodiscard]] absl::StatusOr<UniqueFd> ClaimConfinedPlaces(absl::Duration wait);

struct PlaceSizes {
  uint64_t workspace_bytes = 0;
  uint64_t workspace_files = 0;
  uint64_t tmp_bytes = 0;  // of the smaller of /tmp and /dev/shm
};
// As whoever mounted them has set them: nobody here can make them smaller for a session.
[[nodiscard]] absl::StatusOr<PlaceSizes> SizesOfConfinedPlaces();

// Removes everything in them.
[[nodiscard]] absl::Status EmptyConfinedPlaces();

// Inside a container, as far as one can tell, and by what. "": no. `root`: of the files that are looked at, for tests.
[[nodiscard]] const char* ContainerKind(const std::string& root = "");

}  // namespace carrel::sandbox
