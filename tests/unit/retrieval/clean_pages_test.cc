#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <set>
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

constexpr int kTables = 3;

// Rows come and go, several in a transaction, so that pages split, merge and are given back; what was deleted is
// nowhere, and SQLite finds nothing wrong. (Without our part of it, words of some rows stay.)
TEST(CleanPagesTest, NothingOfWhatWasDeletedStaysInTheFile) {
  const std::string directory = testing::TempDir() + "/clean-pages";
  std::filesystem::remove_all(directory);
  std::filesystem::create_directory(directory);
  const std::string path = directory + "/records.db";
  std::mt19937 random(4);  // one of those that show it
  {
    auto database = Database::Open({.path = path, .sync_full = false});
    ASSERT_TRUE(database.ok()) << database.status();
    const Database::Writer writer = (*database)->Write();
    const auto for_each_table = [&](auto statement) {
      for (int table = 0; table < kTables; ++table) {
        const absl::Status status = writer->Execute(statement(absl::StrCat("notes", table)));
        ASSERT_TRUE(status.ok()) << status;
      }
    };
    const auto remove = [&](int row) {
      for_each_table(
          [row](const std::string& table) { return absl::StrCat("DELETE FROM ", table, " WHERE a = ", row); });
    };
    for_each_table([](const std::string& table) {
      return absl::StrCat("CREATE TABLE ", table, "(a INTEGER, b INTEGER, text BLOB, PRIMARY KEY(a, b))");
    });
    std::vector<int> there;
    int next = 0;
    for (int round = 0; round < 2'000; ++round) {
      absl::StatusOr<Transaction> transaction = Transaction::Begin(*writer);
      ASSERT_TRUE(transaction.ok());
      for (int i = 0; i < 10; ++i) {
        if (there.size() > 150 && random() % 2 == 0) {
          std::swap(there[random() % there.size()], there.back());
          remove(there.back());
          there.pop_back();
          continue;
        }
        const int parts = random() % 4 == 0 ? 4 : 1;
        for (int part = 0; part < parts; ++part) {
          const std::string text = absl::StrCat("zq", next, "q", std::string(random() % 60, 'x'));
          for_each_table([&](const std::string& table) {
            return absl::StrCat("INSERT INTO ", table, " VALUES(", next, ", ", part, ", '", text, "')");
          });
        }
        there.push_back(next++);
      }
      ASSERT_TRUE(transaction->Commit().ok());
      if (round % 20 == 0) {
        ASSERT_TRUE(writer->Execute("PRAGMA incremental_vacuum(20)").ok());
        ASSERT_TRUE(writer->Checkpoint().ok());
      }
    }
    for (; there.size() > 40; there.pop_back()) remove(there.back());
    ASSERT_TRUE(writer->Execute("PRAGMA incremental_vacuum").ok());
    ASSERT_TRUE(*writer->Checkpoint());
    Statement check(*writer, "PRAGMA integrity_check");
    ASSERT_TRUE(check.Step());
    EXPECT_EQ(check.Text(0), "ok");
    const std::string bytes = Bytes(path);
    std::set<int> found, wanted(there.begin(), there.end());
    for (size_t at = bytes.find("zq"); at != bytes.npos; at = bytes.find("zq", at + 1)) {
      found.insert(std::atoi(bytes.c_str() + at + 2));
    }
    EXPECT_EQ(found, wanted);
  }
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace carrel::retrieval
