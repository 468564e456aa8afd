// What a hostile model streams: server-sent events, and in them chunks of a chat completion. Promised: the same events
// wherever the bytes are cut, bounded memory, and deltas that are UTF-8 with indexes and ids that make sense.
#include <nlohmann/json.hpp>

#include "chat_codec.h"
#include "fuzzer.h"
#include "gateway/assistants/answer_scanner.h"
#include "gateway/upstream/sse_parser.h"

namespace carrel::fuzz {
namespace {

constexpr size_t kEventMax = 4096;

struct Read {
  std::vector<std::string> events;
  absl::StatusCode code = absl::StatusCode::kOk;
};

Read ReadEvents(std::string_view stream, uint8_t cuts) {
  Read read;
  gateway::SseParser parser({.event_bytes_max = kEventMax});
  absl::Status status;
  InPieces(stream, cuts, [&](std::string_view piece) {
    if (!status.ok()) return;
    status = parser.Feed(piece, [&](const gateway::SseEvent& event) {
      FUZZ_CHECK(event.data.size() <= kEventMax);
      read.events.push_back(std::string(event.name) + "|" + std::string(event.data));
      return absl::OkStatus();
    });
  });
  read.code = status.code();
  return read;
}

bool IsUtf8(const std::string& text) {
  try {
    (void)nlohmann::json(text).dump();
    return true;
  } catch (const nlohmann::json::exception&) {
    return false;
  }
}

void Decode(const std::vector<std::string>& events) {
  gateway::ChatDecoder decoder;
  gateway::AnswerScanner scanner;
  std::string text, scanned;
  for (const std::string& event : events) {
    auto delta = decoder.Decode(std::string_view(event).substr(event.find('|') + 1));
    if (!delta.ok()) {
      FUZZ_CHECK(!delta.status().message().empty());
      return;
    }
    FUZZ_CHECK(IsUtf8(delta->text) && IsUtf8(delta->refusal));
    for (const auto& call : delta->tool_calls)
      FUZZ_CHECK(call.index >= 0 && call.index < 100'000 && IsUtf8(call.arguments));
    text += delta->text;
    for (const auto& segment : scanner.Feed(delta->text)) scanned += segment.text;
  }
  for (const auto& segment : scanner.Finish()) scanned += segment.text;
  FUZZ_CHECK(scanned == text);
  (void)decoder.end();
}

}  // namespace

void Target(std::string_view input) {
  Bytes bytes(input);
  const uint8_t cuts = bytes.Byte();
  Read whole = ReadEvents(bytes.Rest(), 0);
  Read pieces = ReadEvents(bytes.Rest(), cuts | 1);
  FUZZ_CHECK(whole.code == pieces.code && whole.events == pieces.events);
  Decode(whole.events);
  (void)gateway::DecodeFailure(400 + cuts, bytes.Rest());
  (void)gateway::IsQuotaExhausted(bytes.Rest());
}

}  // namespace carrel::fuzz
