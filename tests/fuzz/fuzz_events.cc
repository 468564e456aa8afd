// What we stream: events whose texts came from a model, from code and from files. Promised: one line of valid JSON an
// event, so that a reader finds exactly the events that were written.
#include <nlohmann/json.hpp>

#include "fuzzer.h"
#include "gateway/openai/responses.h"
#include "gateway/upstream/sse_parser.h"

namespace carrel::fuzz {

void Target(std::string_view input) {
  using namespace gateway;  // NOLINT: one file, one subject
  Bytes bytes(input);
  const uint8_t which = bytes.Byte();
  const openai::View view{.version = (which & 0x80) != 0 ? openai::ApiVersion::kV1 : openai::ApiVersion::kV2,
                          .search_content = true};
  const std::string text(bytes.Rest());
  std::vector<RunEvent> events;
  events.push_back(
      {.kind = RunEventKind::kMessageDelta,
       .payload = MessageDelta{.message_id = MessageId("msg_1"), .text = text, .first = (which & 1) != 0}});
  events.push_back({.kind = RunEventKind::kStepDelta,
                    .payload = StepDelta{.step_id = StepId("step_1"), .call_id = CallId(text), .code = text}});
  events.push_back({.kind = RunEventKind::kMessageCompleted,
                    .payload = Message{.id = MessageId("msg_1"),
                                       .content = {{.text = text, .annotations = {{.text = text, .quote = text}}}},
                                       .metadata = {{text, text}}}});
  events.push_back({.kind = RunEventKind::kRunFailed,
                    .payload = Run{.id = RunId("run_1"),
                                   .last_error = LastError{.message = text},
                                   .model = text,
                                   .tools = {{.function = {.name = "f", .parameters = {text}}}}}});
  events.push_back({.kind = RunEventKind::kError, .payload = Error{.param = text, .args = {text}}});
  std::string stream;
  std::vector<std::string> written;
  for (const RunEvent& event : events) {
    openai::EventText one = openai::RenderEvent(event, view);
    FUZZ_CHECK(!nlohmann::json::parse(one.data, nullptr, false).is_discarded());
    written.push_back(std::string(one.name) + "|" + one.data);
    stream += "event: " + std::string(one.name) + "\ndata: " + one.data + "\n\n";
  }
  std::vector<std::string> read;
  SseParser parser({});
  InPieces(stream, which | 1, [&](std::string_view piece) {
    FUZZ_CHECK(parser
                   .Feed(piece,
                         [&](const SseEvent& event) {
                           read.push_back(std::string(event.name) + "|" + std::string(event.data));
                           return absl::OkStatus();
                         })
                   .ok());
  });
  FUZZ_CHECK(read == written);
}

}  // namespace carrel::fuzz
