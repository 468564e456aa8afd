#include "interpreter/engine/frames.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "interpreter/engine/utf8.h"

namespace carrel::interpreter {
namespace {

constexpr size_t kLengthBytes = 4;
constexpr size_t kNameBytesMax = 256;
constexpr size_t kValueBytesMax = 16 << 10;
constexpr size_t kTracebackBytesMax = 64 << 10;
constexpr size_t kBundleEntriesMax = 64;

// RUN.flags
constexpr uint8_t kSaveFigures = 1;
constexpr uint8_t kForgetInterrupts = 2;

enum Type : uint8_t {
  kHello = 0x01,
  kWarm = 0x04,
  kRun = 0x02,
  kAck = 0x03,
  kReady = 0x81,
  kDisplay = 0x82,
  kDropped = 0x83,
  kDone = 0x84,
};

template <typename Number>
void Put(std::string& out, Number number) {
  for (size_t i = 0; i < sizeof(number); ++i) {
    out.push_back(static_cast<char>(static_cast<uint64_t>(number) >> (8 * i)));
  }
}

std::string WithLength(std::string_view body) {
  std::string frame;
  frame.reserve(kLengthBytes + body.size());
  Put(frame, static_cast<uint32_t>(body.size()));
  frame.append(body);
  return frame;
}

// Takes fields off the front; after the first that is not there, `ok` is false and everything reads as 0.
class Fields final {
 public:
  explicit Fields(std::string_view bytes) : bytes_(bytes) {}

  template <typename Number>
  Number Take() {
    uint64_t number = 0;
    const std::string_view bytes = TakeBytes(sizeof(Number));
    for (size_t i = 0; i < bytes.size(); ++i) number |= uint64_t{static_cast<uint8_t>(bytes[i])} << (8 * i);
    return static_cast<Number>(number);
  }
  std::string_view TakeBytes(size_t count) {
    if (!ok_ || count > bytes_.size()) {
      ok_ = false;
      return {};
    }
    const std::string_view taken = bytes_.substr(0, count);
    bytes_.remove_prefix(count);
    return taken;
  }
  std::string TakeText(size_t count, size_t count_max) { return RepairUtf8(TakeBytes(count).substr(0, count_max)); }
  // Everything was there, and nothing else.
  [[nodiscard]] bool Whole() const { return ok_ && bytes_.empty(); }

 private:
  std::string_view bytes_;
  bool ok_ = true;
};

absl::Status Malformed(const char* what) { return absl::InvalidArgumentError(what); }

// Text is made valid, so that it can travel as text; images stay as they are.
std::string Data(const std::string& media_type, std::string_view data) {
  const bool binary = media_type.starts_with("image/") && !media_type.ends_with("+xml");
  const bool text = media_type.starts_with("text/") || media_type.starts_with("application/json") ||
                    media_type.ends_with("+xml") || media_type.ends_with("+json");
  return text && !binary ? RepairUtf8(data) : std::string(data);
}

absl::StatusOr<Frame> ParseDisplay(Fields fields) {
  DisplayFrame frame;
  frame.call = fields.Take<uint64_t>();
  frame.display.is_result = fields.Take<uint8_t>() != 0;
  const auto count = fields.Take<uint16_t>();
  if (count > kBundleEntriesMax) return Malformed("a display with too many media types");
  for (uint16_t i = 0; i < count; ++i) {
    const std::string media_type = fields.TakeText(fields.Take<uint16_t>(), kNameBytesMax);
    const std::string_view data = fields.TakeBytes(fields.Take<uint32_t>());
    frame.data_bytes += data.size();
    frame.display.data[media_type] = Data(media_type, data);
  }
  if (!fields.Whole()) return Malformed("a display frame of the wrong length");
  return frame;
}

absl::StatusOr<Frame> ParseDone(Fields fields) {
  DoneFrame frame;
  frame.call = fields.Take<uint64_t>();
  const auto status = fields.Take<uint8_t>();
  frame.exit_code = fields.Take<int32_t>();
  frame.error_number = fields.Take<int32_t>();
  frame.exception.name = fields.TakeText(fields.Take<uint16_t>(), kNameBytesMax);
  frame.exception.value = fields.TakeText(fields.Take<uint32_t>(), kValueBytesMax);
  frame.exception.traceback = fields.TakeText(fields.Take<uint32_t>(), kTracebackBytesMax);
  if (!fields.Whole()) return Malformed("a done frame of the wrong length");
  if (status > static_cast<uint8_t>(DoneFrame::Status::kExited)) return Malformed("a done frame of no known status");
  frame.status = static_cast<DoneFrame::Status>(status);
  return frame;
}

}  // namespace

std::string EncodeHello(uint32_t cpus) {
  std::string body;
  Put(body, static_cast<uint8_t>(kHello));
  Put(body, kFramesVersion);
  Put(body, cpus);
  return WithLength(body);
}

std::string EncodeWarm() {
  std::string body;
  Put(body, static_cast<uint8_t>(kWarm));
  return WithLength(body);
}

std::string EncodeRun(const RunFrame& frame) {
  std::string body;
  Put(body, static_cast<uint8_t>(kRun));
  Put(body, frame.call);
  Put(body, frame.display_bytes_max);
  Put(body, static_cast<uint8_t>((frame.save_figures ? kSaveFigures : 0) |
                                 (frame.forget_interrupts ? kForgetInterrupts : 0)));
  Put(body, static_cast<uint32_t>(frame.code.size()));
  body.append(frame.code);
  return WithLength(body);
}

std::string EncodeAck(uint64_t call) {
  std::string body;
  Put(body, static_cast<uint8_t>(kAck));
  Put(body, call);
  return WithLength(body);
}

absl::StatusOr<Frame> ParseFrame(std::string_view frame) {
  Fields fields(frame);
  switch (fields.Take<uint8_t>()) {
    case kReady: {
      const ReadyFrame ready{.version = fields.Take<uint16_t>()};
      if (!fields.Whole()) return Malformed("a ready frame of the wrong length");
      return ready;
    }
    case kDisplay:
      return ParseDisplay(fields);
    case kDropped: {
      DroppedFrame dropped;
      dropped.call = fields.Take<uint64_t>();
      dropped.bytes = fields.Take<uint64_t>();
      if (!fields.Whole()) return Malformed("a dropped frame of the wrong length");
      return dropped;
    }
    case kDone:
      return ParseDone(fields);
    default:
      return Malformed("a frame of no known type");
  }
}

void FrameReader::Append(std::string_view bytes) {
  const size_t skip = std::min<uint64_t>(skip_, bytes.size());
  skip_ -= skip;
  buffer_.append(bytes.substr(skip));
}

std::optional<absl::StatusOr<Frame>> FrameReader::Next() {
  if (skip_ > 0) return std::nullopt;
  if (skipped_ > 0) return DroppedFrame{.call = 0, .bytes = std::exchange(skipped_, 0)};
  if (buffer_.size() < kLengthBytes) return std::nullopt;
  uint32_t length = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) length |= uint32_t{static_cast<uint8_t>(buffer_[i])} << (8 * i);
  if (length > frame_bytes_max_) {
    skipped_ = length;
    const std::string rest = buffer_.substr(kLengthBytes);
    buffer_.clear();
    skip_ = length;
    Append(rest);
    return Next();
  }
  if (buffer_.size() - kLengthBytes < length) return std::nullopt;
  absl::StatusOr<Frame> frame = ParseFrame(std::string_view(buffer_).substr(kLengthBytes, length));
  buffer_.erase(0, kLengthBytes + length);
  return frame;
}

}  // namespace carrel::interpreter
