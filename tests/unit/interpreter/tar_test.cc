// Archives: what we write, Python's tarfile and GNU tar read, and the other way round; and every hostile archive is
// refused with its reason.
#include "interpreter/engine/tar.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <random>
#include <string>
#include <vector>

#include "sandbox/base/unique_fd.h"

namespace carrel::interpreter {
namespace {

using ::testing::HasSubstr;
using Kind = TarEntry::Kind;

constexpr size_t kBlock = 512;

class Archive final {
 public:
  explicit Archive(const std::string& bytes) : fd_(::memfd_create("archive", MFD_CLOEXEC)), bytes_(bytes.size()) {
    EXPECT_EQ(::write(fd_.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }
  // The entries, or the first error.
  absl::StatusOr<std::vector<TarReader::Found>> Read(TarLimits limits = {.content_bytes_max = 1 << 20}) {
    TarReader reader(fd_.get(), bytes_, limits);
    std::vector<TarReader::Found> all;
    while (true) {
      auto found = reader.Next();
      if (!found.ok()) return found.status();
      if (!*found) return all;
      all.push_back(**std::move(found));
    }
  }
  std::string Content(const TarReader::Found& found) {
    std::string text(found.entry.size_bytes, '\0');
    EXPECT_EQ(::pread(fd_.get(), text.data(), text.size(), static_cast<off_t>(found.offset)),
              static_cast<ssize_t>(text.size()));
    return text;
  }

 private:
  UniqueFd fd_;
  uint64_t bytes_;
};

struct File {
  TarEntry entry;
  std::string content;
};

std::string Written(const std::vector<File>& files) {
  std::string bytes;
  TarWriter tar([&](std::string_view piece) {
    bytes.append(piece);
    return absl::OkStatus();
  });
  for (File file : files) {
    file.entry.size_bytes = file.content.size();
    EXPECT_TRUE(tar.Add(file.entry).ok());
    EXPECT_TRUE(file.content.empty() || tar.Data(file.content).ok());
  }
  EXPECT_TRUE(tar.Finish().ok());
  EXPECT_EQ(bytes.size() % kBlock, 0U);
  return bytes;
}

// A header by hand; `type` and `name` as they come.
std::string Header(const std::string& name, char type, const std::string& size = "0", const std::string& link = "") {
  std::string header(kBlock, '\0');
  const auto put = [&header](size_t at, const std::string& text) { header.replace(at, text.size(), text); };
  put(0, name.substr(0, 100));
  put(100, "0000644");
  put(108, "0000000");
  put(116, "0000000");
  put(124, size == "0" ? "00000000000" : size);
  put(136, "14000000000");
  header[156] = type;
  put(157, link);
  put(257, std::string("ustar\00000", 8));
  unsigned sum = 8 * ' ';
  for (const char c : header) sum += static_cast<uint8_t>(c);
  char text[8];
  snprintf(text, sizeof text, "%06o", sum);
  put(148, std::string(text, 7) + " ");
  return header;
}

std::string Padded(std::string text) {
  text.resize((text.size() + kBlock - 1) / kBlock * kBlock, '\0');
  return text;
}

std::string Octal(size_t number) {
  char text[16];
  snprintf(text, sizeof text, "%011zo", number);
  return text;
}

std::string Pax(const std::string& records) { return Header("pax", 'x', Octal(records.size())) + Padded(records); }

const std::string kEnd(2 * kBlock, '\0');

std::string ErrorOf(const std::string& bytes, TarLimits limits = {.content_bytes_max = 1 << 20}) {
  const auto read = Archive(bytes).Read(limits);
  return read.ok() ? "taken" : std::string(read.status().message());
}

TEST(Tar, WhatWasWrittenIsReadBack) {
  const std::vector<File> files = {
      {{.path = "a", .kind = Kind::kDirectory, .mode = 0750, .modified_ns = 1'700'000'000'000'000'000}, ""},
      {{.path = "a/empty", .mode = 0600, .modified_ns = 1'700'000'000'123'456'789}, ""},
      {{.path = "a/text.txt", .mode = 0644, .modified_ns = 0}, "hello"},
      {{.path = "before 1970", .mode = 0444, .modified_ns = -1'500'000'000}, std::string(512, 'x')},
      {{.path = std::string(200, 'n') + "/" + std::string(200, 'm'), .mode = 0755, .modified_ns = 1},
       std::string(513, 'y')},
      {{.path = "שלום/日本.txt", .mode = 0644, .modified_ns = 5'000'000'000}, "z"},
  };
  Archive archive(Written(files));
  const auto read = archive.Read();
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->size(), files.size());
  for (size_t i = 0; i < files.size(); ++i) {
    const TarEntry& entry = (*read)[i].entry;
    EXPECT_EQ(entry.path, files[i].entry.path);
    EXPECT_EQ(entry.kind, files[i].entry.kind);
    EXPECT_EQ(entry.mode, files[i].entry.mode) << entry.path;
    EXPECT_EQ(entry.modified_ns, files[i].entry.modified_ns) << entry.path;
    EXPECT_EQ(archive.Content((*read)[i]), files[i].content);
  }
}

TEST(Tar, AWriterThatIsToldTheWrongSizeSaysSo) {
  TarWriter tar([](std::string_view) { return absl::OkStatus(); });
  ASSERT_TRUE(tar.Add({.path = "a", .size_bytes = 3}).ok());
  EXPECT_FALSE(tar.Data("four").ok());
  EXPECT_TRUE(tar.Data("ab").ok());
  EXPECT_FALSE(tar.Add({.path = "b"}).ok());
  EXPECT_FALSE(tar.Finish().ok());
}

TEST(Tar, RefusesEveryKindOfEntryThatIsNoFile) {
  const std::vector<std::pair<char, std::string>> kinds = {
      {'1', "a hard link"},  {'2', "a symbolic link"}, {'3', "a character device"}, {'4', "a block device"},
      {'6', "a FIFO"},       {'7', "unknown type"},    {'S', "a sparse file"},      {'K', "unknown type"},
      {'D', "unknown type"}, {'Z', "unknown type"}};
  for (const auto& [type, reason] : kinds) {
    EXPECT_THAT(ErrorOf(Header("name", type, "0", "/etc/passwd") + kEnd), HasSubstr(reason)) << type;
  }
}

TEST(Tar, RefusesPathsThatLeaveOrConfuse) {
  for (const std::string path : {"/etc/passwd", "../up", "a/../../up", "a/..", "..", "a//b", "./../up", ".//x",
                                 "new\nline", "esc\x1b[31m", "bad\xff",
                                 "a\xE2\x80\xAE"
                                 "fdp.exe",
                                 "1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17"}) {
    EXPECT_THAT(ErrorOf(Header(path, '0') + kEnd), HasSubstr("archive is ")) << path;
    const std::string record = "path=" + path + "\n";
    EXPECT_THAT(ErrorOf(Pax(std::to_string(record.size() + 3) + " " + record) + Header("fine", '0') + kEnd),
                HasSubstr("archive is "))
        << path << " by a pax header";
  }
  EXPECT_EQ(ErrorOf(Header("./", '5') + Header("./fine/", '5') + Header("./fine/a..b", '0') + kEnd), "taken");
}

TEST(Tar, RefusesWhatIsOverALimit) {
  std::string many;
  for (int i = 0; i < 20; ++i) many += Header("f" + std::to_string(i), '0');
  EXPECT_THAT(ErrorOf(many + kEnd, {.entries_max = 10, .content_bytes_max = 1}), HasSubstr("more than 10 entries"));
  std::string roots;
  for (int i = 0; i < 20; ++i) roots += Header("./", '5');
  EXPECT_THAT(ErrorOf(roots + kEnd, {.entries_max = 10, .content_bytes_max = 1}), HasSubstr("more than 10 entries"));
  EXPECT_THAT(ErrorOf(Header("big", '0', Octal(2 << 20)) + kEnd), HasSubstr("more than 1048576 bytes"));
  EXPECT_THAT(ErrorOf(Header("huge", '0', "77777777777") + kEnd), HasSubstr("more than 1048576 bytes"));
  EXPECT_THAT(ErrorOf(Header("pax", 'x', Octal(1 << 20)) + std::string(1 << 20, 'x') + kEnd),
              HasSubstr("extended header"));
  EXPECT_THAT(ErrorOf(Header("long", 'L', Octal(1 << 20)) + std::string(1 << 20, 'x') + kEnd),
              HasSubstr("extended header"));
  std::string endless;
  for (int i = 0; i < 100; ++i) endless += Pax("11 mtime=1\n");
  EXPECT_THAT(ErrorOf(endless + Header("a", '0') + kEnd), HasSubstr("extended headers in a row"));
}

TEST(Tar, RefusesWhatIsCutOrHidden) {
  const std::string whole = Written({{{.path = "a", .mode = 0644}, std::string(2000, 'x')}});
  for (size_t length = 0; length < whole.size() - kBlock; length += 100) {
    EXPECT_NE(ErrorOf(whole.substr(0, length)), "taken") << length;
  }
  EXPECT_THAT(ErrorOf(whole + Header("hidden", '0') + kEnd), HasSubstr("behind its end"));
  EXPECT_EQ(ErrorOf(whole + std::string(8192, '\0')), "taken") << "GNU tar fills its last record";
  std::string broken = whole;
  broken[3] ^= 1;
  EXPECT_THAT(ErrorOf(broken), HasSubstr("no header"));
  EXPECT_THAT(ErrorOf(std::string("PK\003\004") + std::string(2000, 'z')), HasSubstr("ustar archive"));
  EXPECT_THAT(ErrorOf(Header("size", '0', "\x80\0\0\0\0\0\0\0\0\0\1") + kEnd), HasSubstr("octal"));
}

TEST(Tar, RefusesHostilePaxHeaders) {
  for (const std::string records :
       {"0 path=x\n", "999 path=x\n", "path=x\n", "9999999999999999999 path=x\n", "-5 path=x\n", "10 path=xx",
        "6 path\n", "20 GNU.sparse.map=1\n", "15 linkpath=/x\n", "22 hdrcharset=BINARY\n\n", "10 size=-1\n",
        "12 size=99999999999999999999\n", "13 mtime=soon\n", "24 mtime=99999999999999\n\n", "11 unknown=1\n"}) {
    EXPECT_NE(ErrorOf(Pax(records) + Header("a", '0') + kEnd), "taken") << records;
  }
  EXPECT_THAT(ErrorOf(Pax("11 mtime=1\n") + kEnd), HasSubstr("without its entry"));
  EXPECT_THAT(ErrorOf(Header("g", 'g', Octal(14)) + Padded("14 path=/etc/x\n") + Header("a", '0') + kEnd),
              HasSubstr("archive is"));
}

TEST(Tar, NoiseIsRefusedAndNeverMore) {
  std::mt19937 random(7);
  const std::string whole = Written({{{.path = "a/b", .mode = 0644, .modified_ns = 5}, std::string(700, 'x')},
                                     {{.path = std::string(150, 'n'), .mode = 0600}, "abc"}});
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = whole;
    for (unsigned i = 0; i <= random() % 4; ++i) bytes[random() % bytes.size()] = static_cast<char>(random());
    if (random() % 4 == 0) bytes.resize(random() % bytes.size());
    const auto read = Archive(bytes).Read();
    if (!read.ok()) continue;
    for (const TarReader::Found& found : *read) {
      EXPECT_LE(found.offset + found.entry.size_bytes, bytes.size());
      EXPECT_FALSE(found.entry.path.starts_with('/'));
    }
  }
}

}  // namespace
}  // namespace carrel::interpreter
