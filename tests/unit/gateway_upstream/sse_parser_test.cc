#include "gateway/upstream/sse_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace carrel::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

using Events = std::vector<std::pair<std::string, std::string>>;

Events Parse(std::string_view stream, std::size_t piece_size) {
  SseParser parser({});
  Events events;
  for (std::size_t at = 0; at < stream.size(); at += piece_size) {
    const auto status = parser.Feed(stream.substr(at, piece_size), [&](const SseEvent& event) {
      events.emplace_back(event.name, event.data);
      return absl::OkStatus();
    });
    EXPECT_TRUE(status.ok()) << status;
  }
  return events;
}

TEST(SseParser, ReadsTheSameHoweverItIsCut) {
  constexpr std::string_view kStream =
      "\xEF\xBB\xBF: a comment\ndata: one\n\nevent: named\r\ndata: two\r\ndata:  lines\r\n\r\n"
      "data\n\nid: 7\rdata:x\r\rretry: 3\n\ndata: cut off";
  for (std::size_t size = 1; size <= kStream.size(); ++size) {
    EXPECT_THAT(Parse(kStream, size),
                ElementsAre(Pair("", "one"), Pair("named", "two\n lines"), Pair("", ""), Pair("", "x")))
        << "pieces of " << size;
  }
}

TEST(SseParser, AnEventWithoutDataIsNone) { EXPECT_THAT(Parse("event: a\n\n:\n\n\n\n", 3), IsEmpty()); }

TEST(SseParser, AnEventTooLongEndsTheStream) {
  for (const std::string& stream :
       {std::string(100, 'x'), "data: 12345\ndata: 67890\ndata: 12345\n\n" + std::string()}) {
    SseParser parser({.event_bytes_max = 20});
    const auto status = parser.Feed(stream, [](const SseEvent&) { return absl::OkStatus(); });
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  }
}

TEST(SseParser, AnErrorOfTheReaderEndsIt) {
  SseParser parser({});
  int events = 0;
  const auto status = parser.Feed("data: 1\n\ndata: 2\n\n", [&](const SseEvent&) {
    ++events;
    return absl::InternalError("enough");
  });
  EXPECT_TRUE(absl::IsInternal(status));
  EXPECT_EQ(events, 1);
}

}  // namespace
}  // namespace carrel::gateway
