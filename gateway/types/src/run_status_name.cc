#include "gateway/types/run_status_name.h"

namespace carrel::gateway {

std::string RunStatusName(RunStatus status) {
  switch (status) {
    case RunStatus::kQueued:
      return "queued";
    case RunStatus::kInProgress:
      return "in_progress";
    case RunStatus::kRequiresAction:
      return "requires_action";
    case RunStatus::kCancelling:
      return "cancelling";
    case RunStatus::kCancelled:
      return "cancelled";
    case RunStatus::kFailed:
      return "failed";
    case RunStatus::kCompleted:
      return "completed";
    case RunStatus::kIncomplete:
      return "incomplete";
    case RunStatus::kExpired:
      return "expired";
  }
  return "";
}

}  // namespace carrel::gateway
