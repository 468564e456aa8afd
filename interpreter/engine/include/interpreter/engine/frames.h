// The engine's half of the channel to the driver; the format is written down in interpreter/driver/frames.py.
//
// Everything that comes from the driver was possibly written by the user's code: it is bounded, and parsed as hostile.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "interpreter/engine/outcome.h"

namespace carrel::interpreter {

inline constexpr uint16_t kFramesVersion = 2;

struct ReadyFrame {
  uint16_t version = 0;
};
struct DisplayFrame {
  uint64_t call = 0;
  uint64_t data_bytes = 0;  // of all the bundle's entries
  Display display;
};
// A display that was over the limit: only its size is known.
struct DroppedFrame {
  uint64_t call = 0;
  uint64_t bytes = 0;
};
struct DoneFrame {
  enum class Status : uint8_t { kCompleted = 0, kRaised = 1, kExited = 2 };
  uint64_t call = 0;
  Status status = Status::kCompleted;
  int32_t exit_code = 0;
  int32_t error_number = 0;  // errno of an OSError
  ExceptionInfo exception;
};
using Frame = std::variant<ReadyFrame, DisplayFrame, DroppedFrame, DoneFrame>;

[[nodiscard]] std::string EncodeHello(uint32_t cpus);
[[nodiscard]] std::string EncodeWarm();
struct RunFrame {
  uint64_t call = 0;
  uint64_t display_bytes_max = 0;
  bool save_figures = false;  // a PNG that is shown is also written to the workspace
  // An interrupt that the driver has seen since its last answer was meant for the call before.
  bool forget_interrupts = false;
  std::string_view code;
};
[[nodiscard]] std::string EncodeRun(const RunFrame& frame);
[[nodiscard]] std::string EncodeAck(uint64_t call);

// Parses one frame without its length. INVALID_ARGUMENT: it is not one. Text is made valid UTF-8.
[[nodiscard]] absl::StatusOr<Frame> ParseFrame(std::string_view frame);

// Cuts a byte stream into frames. A frame over `frame_bytes_max` is counted and thrown away as it comes, so the memory
// held is bounded by that, whatever a length claims.
class FrameReader final {
 public:
  explicit FrameReader(uint64_t frame_bytes_max) : frame_bytes_max_(frame_bytes_max) {}

  void Append(std::string_view bytes);
  // The next whole frame; nullopt: more bytes are needed. A frame that was thrown away comes as a DroppedFrame of call
  // 0.
  [[nodiscard]] std::optional<absl::StatusOr<Frame>> Next();

 private:
  uint64_t frame_bytes_max_;
  std::string buffer_;
  uint64_t skip_ = 0;     // bytes of a too long frame still to come
  uint64_t skipped_ = 0;  // its length
};

}  // namespace carrel::interpreter
