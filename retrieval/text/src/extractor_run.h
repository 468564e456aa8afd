// One run of carrel-extract in a jail, whatever it is asked for: what goes in, what comes out, how it ended.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "conclude.h"
#include "sandbox/base/unique_fd.h"
#include "sandbox/jail.h"

namespace carrel::retrieval {

struct ExtractorOrder {
  std::string policy;
  UniqueFd bytes;         // the document, on descriptor 0
  std::string request;    // what descriptor 3 gives
  uint64_t memory_bytes;  // of the jail; at most the policy's cap
  uint64_t cpu_seconds;
  absl::Duration wall_max;
  std::function<bool()> cancelled;  // asked often; may be empty
};

// What a policy allows at most, of what is asked for: the operator's caps are taken without a word.
[[nodiscard]] uint64_t MemoryWithinCap(const sandbox::JailMaker& jails, const std::string& policy, uint64_t bytes);

// Feeds `sink` with what the extractor writes, until that ends, `sink` has enough (*done), or the time is over. A
// status of `sink` that is no OK is that of ExtractorEnd::wire. Errors: UNAVAILABLE (no jail), CANCELLED, INTERNAL.
using ExtractorSink = std::function<absl::Status(std::string_view bytes, bool& done)>;
[[nodiscard]] absl::StatusOr<ExtractorEnd> RunExtractor(sandbox::JailMaker& jails, ExtractorOrder order,
                                                        const ExtractorSink& sink);

}  // namespace carrel::retrieval
