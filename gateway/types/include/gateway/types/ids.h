// Ids as clients see them ("asst_…", "thread_…"), one type each, so that a thread's id cannot be passed for a run's.
// Values; made by the Ids port, or taken from a request, in which case nothing says yet that the object exists.
#pragma once

#include <compare>
#include <string>
#include <utility>

namespace carrel::gateway {

template <typename Tag>
struct Id {
  std::string value;

  Id() = default;
  explicit Id(std::string text) : value(std::move(text)) {}

  bool empty() const { return value.empty(); }
  friend auto operator<=>(const Id&, const Id&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const Id& id) {
    return H::combine(std::move(h), id.value);
  }
};

// The tenant: every object belongs to one, and none is visible from another.
using ProjectId = Id<struct ProjectTag>;
using KeyId = Id<struct KeyTag>;              // "key_"
using AssistantId = Id<struct AssistantTag>;  // "asst_"
using ThreadId = Id<struct ThreadTag>;        // "thread_"
using MessageId = Id<struct MessageTag>;      // "msg_"
using RunId = Id<struct RunTag>;              // "run_"
using StepId = Id<struct StepTag>;            // "step_"
using CallId = Id<struct CallTag>;            // "call_"; the model's own where it gives one
using FileId = Id<struct FileTag>;            // "file-"
using StoreId = Id<struct StoreTag>;          // "vs_"
using BatchId = Id<struct BatchTag>;          // "vsfb_"
using ContainerId = Id<struct ContainerTag>;  // "cntr_"
using UploadId = Id<struct UploadTag>;        // "upload_"
using PartId = Id<struct PartTag>;            // "part_"

}  // namespace carrel::gateway
