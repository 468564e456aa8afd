// Three parts of Carrel that may not link each other have lists of the types that are read. They are one list.
#include <gtest/gtest.h>

#include "gateway/cli/src/documents.h"
#include "gateway/core/stores.h"
#include "retrieval/extraction.h"

namespace carrel {
namespace {

TEST(DocumentTypes, GatewayAndCommandLineTakeWhatIsRead) {
  for (const std::string& extension : retrieval::ReadableExtensions()) {
    EXPECT_TRUE(gateway::IsSearchableName("A file" + extension)) << extension;
    EXPECT_TRUE(cli::IsDocumentName("A file" + extension)) << extension;
  }
}

TEST(DocumentTypes, AndNothingElse) {
  for (const char* extension : {".png", ".zip", ".exe", ".mp3", ".xls", ".odt", ".rtf", ".epub", ".ipynb"}) {
    EXPECT_FALSE(retrieval::DocumentTypeOf(std::string("a") + extension)) << extension;
    EXPECT_FALSE(gateway::IsSearchableName(std::string("a") + extension)) << extension;
    EXPECT_FALSE(cli::IsDocumentName(std::string("a") + extension)) << extension;
  }
}

// The types that OpenAI names for file search, all but the old Word format, which it takes and Carrel asks to save
// anew.
TEST(DocumentTypes, OpenAisAreAmongThem) {
  for (const char* extension : {".c",  ".cpp", ".cs",  ".css",  ".docx", ".go", ".html", ".java", ".js", ".json",
                                ".md", ".pdf", ".php", ".pptx", ".py",   ".rb", ".sh",   ".tex",  ".ts", ".txt"}) {
    EXPECT_TRUE(retrieval::DocumentTypeOf(std::string("a") + extension)) << extension;
  }
  EXPECT_TRUE(gateway::IsSearchableName("a.doc"));
}

}  // namespace
}  // namespace carrel
