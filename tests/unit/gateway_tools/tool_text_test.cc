#include "gateway/tools/tool_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace carrel::gateway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(ToolText, TellsWhatCodeDid) {
  ToolCall call{.code_outputs = {{.kind = CodeOutput::Kind::kLogs, .logs = "42"},
                                 {.kind = CodeOutput::Kind::kImage, .image = FileId("file-1")}},
                .written_files = {{.path = "a.csv", .file_id = FileId("file-2")}}};
  const std::string text = CodeText(call, /*state_lost=*/true);
  EXPECT_TRUE(text.starts_with("42\n")) << text;
  EXPECT_THAT(text, HasSubstr("image was shown"));
  EXPECT_THAT(text, HasSubstr("sandbox:/mnt/data/a.csv"));
  EXPECT_THAT(text, HasSubstr("variables are gone"));
  EXPECT_EQ(CodeText({}, /*state_lost=*/false), "[No output.]");
}

TEST(ToolText, GivesEveryPassageItsMarker) {
  const std::string text = SearchText(2, {{.file_name = "a.txt", .passage = "alpha"},
                                          {.file_name = "b.pdf", .passage = "beta", .citations = {{.first_page = 7}}}});
  EXPECT_THAT(text, HasSubstr("【2:0†a.txt】\nalpha"));
  EXPECT_THAT(text, HasSubstr("【2:1†b.pdf】 page 7\nbeta"));
  EXPECT_THAT(SearchText(0, {}), Not(HasSubstr("【")));
}

TEST(ToolText, AMarkerEndsWhereItShould) {
  EXPECT_EQ(Marker(0, 0, "a】b【c"), "【0:0†a_b_c】");
  EXPECT_LT(Marker(0, 0, std::string(1000, 'x')).size(), 300U);
}

TEST(ToolText, LongTextIsCutInItsMiddle) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "é";
  const std::string cut = CutMiddle(text, 101);
  EXPECT_THAT(cut, HasSubstr("bytes left out"));
  EXPECT_LT(cut.size(), 150U);
  EXPECT_EQ(cut.find("\xA9\xA9"), std::string::npos);
  EXPECT_EQ(CutMiddle("short", 5), "short");
}

}  // namespace
}  // namespace carrel::gateway
