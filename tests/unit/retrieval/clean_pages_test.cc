#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "database.h"
#include "gtest/gtest.h"

namespace carrel::retrieval {
namespace {

std::string Bytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// Rows of many sizes come and go, so that pages split, merge and are given back; what was deleted is nowhere, and
// SQLite finds nothing wrong.
TEST(CleanPagesTest, NothingOfWhatWasDeletedStaysInTheFile) {
  const std::string directory = testing::TempDir() + "/clean-pages";
  std::filesystem::remove_all(directory);
  std::filesystem::create_directory(directory);
  const std::string path = directory + "/records.db";
  std::mt19937 random(1);
  {
    auto database = Database::Open({.path = path, .sync_full = false});
    ASSERT_TRUE(database.ok()) << database.status();
    const Database::Writer writer = (*database)->Write();
    ASSERT_TRUE(writer->Execute("CREATE TABLE notes(a INTEGER, b INTEGER, text BLOB, PRIMARY KEY(a, b))").ok());
    std::vector<int> there;
    for (int i = 0; i < 6'000; ++i) {
      const bool remove = there.size() > 300 && random() % 2 == 0;
      if (remove) {
        std::swap(there[random() % there.size()], there.back());
        ASSERT_TRUE(writer->Execute(absl::StrCat("DELETE FROM notes WHERE a = ", there.back())).ok());
        there.pop_back();
      } else {
        const std::string text =
            absl::StrCat("zq", i, "q", std::string(random() % (random() % 20 == 0 ? 9'000 : 120), 'x'));
        ASSERT_TRUE(writer->Execute(absl::StrCat("INSERT INTO notes VALUES(", i, ", 0, '", text, "')")).ok());
        there.push_back(i);
      }
      if (i % 50 == 0) {
        ASSERT_TRUE(writer->Execute("PRAGMA incremental_vacuum(20)").ok());
        ASSERT_TRUE(writer->Checkpoint().ok());
      }
    }
    // All but a few go.
    while (there.size() > 40) {
      ASSERT_TRUE(writer->Execute(absl::StrCat("DELETE FROM notes WHERE a = ", there.back())).ok());
      there.pop_back();
    }
    ASSERT_TRUE(writer->Execute("PRAGMA incremental_vacuum").ok());
    ASSERT_TRUE(*writer->Checkpoint());
    Statement check(*writer, "PRAGMA integrity_check");
    ASSERT_TRUE(check.Step());
    EXPECT_EQ(check.Text(0), "ok");
    const std::string bytes = Bytes(path);
    size_t words = 0;
    for (size_t at = bytes.find("zq"); at != bytes.npos; at = bytes.find("zq", at + 1)) {
      const int number = std::atoi(bytes.c_str() + at + 2);
      EXPECT_TRUE(std::find(there.begin(), there.end(), number) != there.end()) << number;
      ++words;
    }
    EXPECT_EQ(words, there.size());
  }
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace carrel::retrieval
