// Manuals that Debian packages ship, from three producers that are not ours (LaTeX, Texinfo, DocBook): whatever they
// say, every quote is verbatim at its span, on its page, inside its boxes. `./dev bench extract PDF...` asks it of any
// PDF.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "citation_properties.h"
#include "extract_file.h"

namespace carrel::retrieval {
namespace {

struct Manual {
  const char* name;
  const char* package;
  const char* path;
  // Far fewer than there are, so that another version of the package does.
  uint32_t pages_min;
  size_t sub_passages_min;
  const char* says;
};

class DebianManual : public ::testing::TestWithParam<Manual> {};

TEST_P(DebianManual, QuotesAreVerbatimOnTheirPagesInTheirBoxes) {
  const Manual& manual = GetParam();
  ASSERT_TRUE(std::filesystem::exists(manual.path)) << manual.path << " is not there: the package " << manual.package
                                                    << " (./dev setup) is not installed, or dpkg was told to leave "
                                                       "/usr/share/doc out (apt-get install --reinstall -o "
                                                       "Dpkg::Options::=--path-include='/usr/share/doc/*.pdf' "
                                                    << manual.package << ")";
  const auto extraction = testing::ExtractFile(manual.path);
  ASSERT_TRUE(extraction.ok()) << extraction.status();
  ASSERT_EQ(extraction->verdict, Verdict::kRead) << extraction->message;
  EXPECT_GE(extraction->pages, manual.pages_min);
  EXPECT_NE(ToUtf8(extraction->document.text).find(manual.says), std::string::npos) << manual.says;
  const ChunkingOptions options;
  const auto chunks = Chunk(extraction->document, options, testing::CountTokensRoughly);
  ASSERT_TRUE(chunks.ok()) << chunks.status();
  EXPECT_GE(chunks->sub_passages.size(), manual.sub_passages_min);
  for (const std::string& fault : testing::FaultsOf(extraction->document, *chunks, options)) ADD_FAILURE() << fault;
}

INSTANTIATE_TEST_SUITE_P(
    All, DebianManual,
    ::testing::Values(Manual{"Gnuplot", "gnuplot-doc", "/usr/share/doc/gnuplot/gnuplot.pdf", 200, 800, "splot"},
                      Manual{"Libtasn1", "libtasn1-doc", "/usr/share/doc/libtasn1-doc/libtasn1.pdf", 20, 50, "ASN.1"},
                      Manual{"SharedMimeInfo", "shared-mime-info",
                             "/usr/share/doc/shared-mime-info/shared-mime-info-spec.pdf", 10, 30, "application/"}),
    [](const auto& manual) { return std::string(manual.param.name); });

}  // namespace
}  // namespace carrel::retrieval
