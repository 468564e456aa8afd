// What the zygote does to its own mappings, done by a process that has libraries, data and a heap as it has.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "fewer_mappings.h"
#include "gtest/gtest.h"
#include "own_pages.h"

namespace carrel::interpreter {
namespace {

// Of a library's data, of bss, of what is relocated.
int written_before = 1;
int written_after = 0;
const char* const relocated = "relocated";

struct Mappings {
  size_t count = 0;
  size_t of_data_file = 0;
  bool writable_and_executable = false;
  bool shared_with_data_file = false;
};

Mappings Look() {
  Mappings found;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    const std::string rights = line.substr(line.find(' ') + 1, 4);
    ++found.count;
    found.writable_and_executable |= rights[1] == 'w' && rights[2] == 'x';
    if (line.find("library-data") == std::string::npos) continue;
    ++found.of_data_file;
    found.shared_with_data_file |= rights[3] == 's';
  }
  return found;
}

// In a child, whose end is the verdict: what is tried here cannot be undone.
template <typename Body>
void ExpectInChild(const Body& body) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    body();
    std::fflush(nullptr);
    ::_exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << status;
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(OwnMemoryTest, AProcessGoesOnWithFewerMappings) {
  ExpectInChild([] {
    written_before = 2;
    const Mappings before = Look();
    JoinLibraryMappings();
    const Mappings after = Look();
    EXPECT_LT(after.count, before.count * 2 / 3);
    EXPECT_GT(after.of_data_file, 2U);
    EXPECT_FALSE(after.writable_and_executable);
    EXPECT_FALSE(after.shared_with_data_file) << "what one process writes must not be seen by another";
    EXPECT_EQ(written_before, 2);
    EXPECT_STREQ(relocated, "relocated");
    written_after = 3;
    // The C and the C++ library go on, with their locks, streams, heap and exceptions.
    auto text = std::make_unique<std::string>(size_t{1} << 20, 'x');
    try {
      throw *text;
    } catch (const std::string& caught) {
      EXPECT_EQ(caught.size(), text->size());
    }
    EXPECT_STREQ(::getenv("PATH"), std::getenv("PATH"));
    // A fork of it has copies of its own.
    ExpectInChild([] {
      EXPECT_EQ(written_after, 3);
      written_after = 4;
      written_before = 5;
    });
    EXPECT_EQ(written_after, 3);
    EXPECT_EQ(written_before, 2);
  });
}

TEST(OwnMemoryTest, TheHeapKeepsWhatIsInIt) {
  ExpectInChild([] {
    std::vector<std::unique_ptr<uint64_t>> numbers;
    for (uint64_t i = 0; i < 500'000; ++i) numbers.push_back(std::make_unique<uint64_t>(i));
    CollapseHeap();
    for (uint64_t i = 0; i < numbers.size(); ++i) ASSERT_EQ(*numbers[i], i);
    *numbers.front() = 7;
    ExpectInChild([&numbers] { *numbers.front() = 8; });
    EXPECT_EQ(*numbers.front(), 7U);
  });
}

TEST(OwnMemoryTest, ThePagesThatAChildWroteToAreFound) {
  constexpr size_t kPage = 4096;
  constexpr size_t kPages = 64;
  auto* const pages =
      static_cast<char*>(::mmap(nullptr, kPages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(pages, MAP_FAILED);
  for (size_t i = 0; i < kPages; ++i) pages[i * kPage] = 1;
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    for (const size_t i : {3, 4, 9}) pages[i * kPage] = 2;
    ::_exit(WriteOwnPages(ends[1]) ? 0 : 1);
  }
  ::close(ends[1]);
  const std::vector<PageRange> ranges = ReadPages(ends[0]);
  ::close(ends[0]);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  std::vector<std::pair<size_t, size_t>> ours;  // first page and number
  const auto start = reinterpret_cast<uintptr_t>(pages);
  for (const PageRange& range : ranges) {
    if (range.start < start || range.start >= start + kPages * kPage) continue;
    ours.emplace_back((range.start - start) / kPage, range.bytes / kPage);
  }
  EXPECT_EQ(ours, (std::vector<std::pair<size_t, size_t>>{{3, 2}, {9, 1}}));
  CopyPages(ranges);
  EXPECT_EQ(pages[3 * kPage], 1);
  ::munmap(pages, kPages * kPage);
}

}  // namespace
}  // namespace carrel::interpreter
