#include "html.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "html_guard.h"
#include "office/zip_writer.h"
#include "run_reader.h"

namespace carrel::retrieval::extract {
namespace {

using ::testing::HasSubstr;
using testing::Repeated;
using wire::ExtractLimit;
using wire::ExtractVerdict;

ReaderResult Html(std::string_view bytes) {
  return RunReader([&](FrameWriter& out) { return ExtractHtml(bytes, out); });
}

TEST(Html, TextAsABrowserShowsIt) {
  const ReaderResult result = Html(R"(<!DOCTYPE html><html><head><title> The
 manual </title><style>p { color: red }</style><script>var x = "<p>no";</script></head><body>
<nav><a href="/">Home</a></nav>
<h1>Bridges <a class="headerlink" href="#b">&para;</a></h1>
<p>The <b>old</b> bridge&nbsp;stands.<br>It is &lt; 40&nbsp;m &amp; green.</p>
<div hidden>secret</div><div style="DISPLAY : none">secret</div><span aria-hidden="true">secret</span>
<h2>Loads</h2><ul><li>Carts<li><p>Coaches</p><ul><li>large</ul></ul>
<ol start="3"><li>Measure<li>Load</ol>
<pre>
if (x) {
    return  1;
}
</pre>
<table><tr><th>Bridge<th>Span</tr><tr><td><p>Old</p><td>24&nbsp;m</tr></table>
<dl><dt>Pier<dd>What stands in the water.</dl>
</body></html>)");
  EXPECT_EQ(result.verdict.verdict, ExtractVerdict::kRead);
  EXPECT_EQ(result.document.title, "The manual");
  EXPECT_EQ(
      result.text,
      "Bridges\n\nThe old bridge stands.\nIt is < 40 m & green.\n\nLoads\n\n- Carts\n- Coaches\n  - large\n3. Measure\n"
      "4. Load\n\nif (x) {\n    return  1;\n}\n\nBridge | Span\nOld | 24 m\n\nPier\n\nWhat stands in the water.");
  ASSERT_EQ(result.document.headings.size(), 2U);
  EXPECT_EQ(result.document.headings[0].title, "Bridges");
  EXPECT_EQ(result.document.headings[1].level, 2);
  EXPECT_FALSE(result.document.by_line);
}

TEST(Html, TablesForTheirLooksAreParagraphs) {
  EXPECT_EQ(Html("<table><tr><td><h1>Title</h1><p>Text.</p></td><td>Beside.</td></tr></table>").text,
            "Title\n\nText.\n\nBeside.");
  EXPECT_EQ(Html("<table><tr><td>Left<td><table><tr><td>a<td>b</table></table>").text, "Left\n\na | b");
}

TEST(Html, Encodings) {
  EXPECT_EQ(Html("<p>Größe").text, "Größe");
  EXPECT_EQ(Html("<meta charset=iso-8859-1><p>Gr\xF6\xDF\x65 \x80 \x93x\x94").text, "Größe € “x”");
  EXPECT_EQ(Html("<meta http-equiv=\"Content-Type\" content=\"text/html; charset=windows-1252\"><p>caf\xE9").text,
            "café");
  const Verdict other = Html("<meta charset=\"shift_jis\"><p>\x83\x65").verdict;
  EXPECT_EQ(other.verdict, ExtractVerdict::kUnsupported);
  EXPECT_THAT(other.sentence, HasSubstr("in shift_jis"));
  EXPECT_THAT(Html("<p>caf\xE9").verdict.sentence, HasSubstr("no UTF-8 at byte 6"));
  EXPECT_EQ(Html("<meta charset=iso-8859-1><p>already UTF-8: é").text, "already UTF-8: é");
}

TEST(Html, CharactersThatAreNone) {
  const ReaderResult result = Html("<title>&#x99999999999;a</title><p>&#x99999999999;b &#xD800; &#0;c");
  EXPECT_THAT(result.document.title, ::testing::EndsWith("a"));
  EXPECT_THAT(result.text, HasSubstr("b \uFFFD \uFFFDc"));
}

TEST(Html, WhatIsNoHtml) {
  EXPECT_EQ(Html("PK\x03\x04\xFF").verdict.sentence, "Its name says HTML and its bytes are a ZIP archive.");
  EXPECT_EQ(Html("  \n").verdict.verdict, ExtractVerdict::kEmpty);
  EXPECT_EQ(Html("Just words.").text, "Just words.");
  EXPECT_EQ(Html("<script>only()</script>").text, "");
}

TEST(Html, DeepNestingIsReadUntilTheLimit) {
  const ReaderResult result = Html("<p>Before.</p>" + Repeated("<div>", 300'000) + "deep");
  EXPECT_EQ(result.verdict.limit, ExtractLimit::kShape);
  EXPECT_EQ(result.verdict.sentence, "at most 512 levels of nesting are read");
  EXPECT_EQ(result.text, "Before.");
}

TEST(Html, TooManyTagsAndAttributes) {
  const ReaderResult tags = Html("<p>Before.</p>" + Repeated("<br>", kHtmlTagsMax + 10));
  EXPECT_EQ(tags.verdict.sentence, "at most 1000000 tags are read");
  EXPECT_EQ(tags.text, "Before.");
  std::string many = "<p>Before.</p><p";
  for (int i = 0; i < 100'000; ++i) many += " a" + std::to_string(i) + "=1";
  const ReaderResult attributes = Html(many + ">After.</p>");
  EXPECT_EQ(attributes.verdict.sentence, "at most 1000 attributes of a tag are read");
  EXPECT_EQ(attributes.text, "Before.");
}

TEST(HtmlGuard, OrdinaryPagesAreWhole) {
  for (const std::string& page :
       {Repeated("<p>Never closed.<li>Nor this<td>", 2'000), "<script>" + Repeated("if (a <b) {}", 3'000) + "</script>",
        "<svg>" + Repeated("<path d='M0 0'/>", 3'000) + "</svg>", "<!-- " + Repeated("<div>", 3'000) + " -->",
        Repeated("<div><b>x</b></div>", 3'000), "<p title=\"" + Repeated("a > b ", 3'000) + "\">x"}) {
    const HtmlCut cut = GuardHtml(page);
    EXPECT_EQ(cut.clause, "") << page.substr(0, 40);
    EXPECT_EQ(cut.bytes, page.size());
  }
}

}  // namespace
}  // namespace carrel::retrieval::extract
