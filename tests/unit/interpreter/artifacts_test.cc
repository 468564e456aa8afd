#include "interpreter/engine/artifacts.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <map>

namespace carrel::interpreter {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Entry = sandbox::WorkspaceEntry;
using Kind = sandbox::WorkspaceEntry::Kind;

Entry File(const std::string& path, uint64_t size = 1, int64_t modified = 1) {
  return {.path = path,
          .size_bytes = size,
          .blocks_bytes = 4096,
          .inode = 1,
          .modified_ns = modified,
          .changed_ns = modified};
}

Entry Special(const std::string& path, Kind kind) {
  Entry entry = File(path);
  entry.kind = kind;
  return entry;
}

std::vector<std::string> Paths(const WorkspaceChanges& changes) {
  std::vector<std::string> paths;
  for (const Entry& file : changes.files) paths.push_back(file.path);
  return paths;
}

TEST(Compare, NewChangedAndRemoved) {
  const WorkspaceState before = StateOf({.entries = {File("same"), File("grown"), File("touched"), File("gone")}});
  const WorkspaceChanges changes =
      Compare(before, {.entries = {File("same"), File("grown", 2), File("touched", 1, 9), File("new")}});
  EXPECT_THAT(Paths(changes), ElementsAre("grown", "new", "touched"));
  EXPECT_THAT(changes.removed, ElementsAre("gone"));
  EXPECT_THAT(changes.skipped, IsEmpty());
}

TEST(Compare, WhatIsNoArtifactIsSkippedWithItsReason) {
  const WorkspaceChanges changes = Compare(
      {}, {.entries = {Special("dir", Kind::kDirectory), Special("link", Kind::kSymlink), Special("pipe", Kind::kFifo),
                       Special("sock", Kind::kSocket), Special("dev", Kind::kDevice), File(".hidden"),
                       File("dir/.git/config"), File("bad\xFFname"), File("new\nline")}});
  EXPECT_THAT(Paths(changes), IsEmpty());
  EXPECT_THAT(changes.skipped, ::testing::UnorderedElementsAre(
                                   SkippedFile{"link", "symlink"}, SkippedFile{"pipe", "fifo"},
                                   SkippedFile{"sock", "socket"}, SkippedFile{"dev", "device"},
                                   SkippedFile{".hidden", "hidden"}, SkippedFile{"dir/.git/config", "hidden"},
                                   SkippedFile{"bad\\xffname", "name"}, SkippedFile{"new\\x0aline", "name"}));
}

TEST(Compare, AnIncompleteScanTellsNoRemovals) {
  const WorkspaceChanges changes =
      Compare(StateOf({.entries = {File("maybe gone")}}), {.entries = {}, .incomplete = true});
  EXPECT_THAT(changes.removed, IsEmpty());
  EXPECT_THAT(changes.skipped, ElementsAre(SkippedFile{"", "scan limit"}));
}

// A workspace of memory files, some of which claim another size.
class FakeWorkspace final : public sandbox::Workspace {
 public:
  std::map<std::string, std::string> files;
  uint64_t claim_more = 0;

  absl::StatusOr<sandbox::WorkspaceListing> List(const sandbox::ListOptions&) override {
    return absl::UnimplementedError("not used");
  }
  absl::StatusOr<sandbox::OpenedFile> OpenRead(const std::string& path) override {
    const auto found = files.find(path);
    if (found == files.end()) return absl::NotFoundError(path);
    UniqueFd fd(::memfd_create("fake", MFD_CLOEXEC));
    if (::write(fd.get(), found->second.data(), found->second.size()) < 0) return absl::InternalError("write");
    return sandbox::OpenedFile{.fd = std::move(fd), .size_bytes = found->second.size() + claim_more};
  }
  absl::StatusOr<Entry> Write(const std::string&, UniqueFd, const sandbox::WriteOptions&) override {
    return absl::UnimplementedError("");
  }
  absl::Status MakeDirectory(const std::string&, const sandbox::WriteOptions&) override {
    return absl::UnimplementedError("");
  }
  absl::StatusOr<bool> Remove(const std::string&) override { return absl::UnimplementedError(""); }
};

TEST(Collect, HashesAndReadsWithinTheLimits) {
  FakeWorkspace workspace;
  workspace.files = {{"a.txt", "abc"}, {"b.png", std::string(1000, 'p')}, {"c", "z"}};
  WorkspaceChanges changes{.files = {File("a.txt", 3), File("b.png", 1000), File("c"), File("gone")}};
  std::vector<Artifact> artifacts;
  const bool touched = Collect(workspace, {.artifacts = 10, .artifact_bytes = 100}, ReturnFiles::kBytes, changes,
                               [&](Artifact artifact) { artifacts.push_back(std::move(artifact)); });
  EXPECT_TRUE(touched);
  ASSERT_EQ(artifacts.size(), 3u);
  EXPECT_EQ(artifacts[0].sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(artifacts[0].content, "abc");
  EXPECT_EQ(artifacts[0].media_type, "text/plain");
  EXPECT_EQ(artifacts[1].sha256, "") << "over the limit: told, not read";
  EXPECT_EQ(artifacts[1].size_bytes, 1000u);
  EXPECT_THAT(changes.skipped, ElementsAre(SkippedFile{"b.png", "too large"}, SkippedFile{"gone", "changed"}));
}

TEST(Collect, AFileThatChangesWhileItIsReadIsSkipped) {
  FakeWorkspace workspace;
  workspace.files = {{"a", "abc"}};
  workspace.claim_more = 5;
  WorkspaceChanges changes{.files = {File("a", 8)}};
  EXPECT_FALSE(Collect(workspace, {.artifacts = 10, .artifact_bytes = 100}, ReturnFiles::kReferences, changes,
                       [](const Artifact&) { FAIL(); }));
  EXPECT_THAT(changes.skipped, ElementsAre(SkippedFile{"a", "changed"}));
}

TEST(Collect, StopsAtTheNumberOfArtifacts) {
  FakeWorkspace workspace;
  workspace.files = {{"a", "1"}, {"b", "2"}};
  WorkspaceChanges changes{.files = {File("a"), File("b")}};
  int count = 0;
  EXPECT_TRUE(Collect(workspace, {.artifacts = 1, .artifact_bytes = 100}, ReturnFiles::kReferences, changes,
                      [&](const Artifact&) { ++count; }));
  EXPECT_EQ(count, 1);
  EXPECT_THAT(changes.skipped, ElementsAre(SkippedFile{"b", "too many"}));
}

TEST(MediaType, ContentBeatsTheName) {
  EXPECT_EQ(MediaType("x.csv", "\x89PNG\r\n\x1a\n..."), "image/png");
  EXPECT_EQ(MediaType("x.CSV", "a,b"), "text/csv");
  EXPECT_EQ(MediaType("dir.csv/none", ""), "application/octet-stream");
  EXPECT_EQ(MediaType("plain", "hello"), "application/octet-stream");
}

TEST(EscapePath, EscapesWhatReadsOtherwiseThanItIs) {
  EXPECT_EQ(EscapePath("a\xE2\x80\xAE"
                       "b"),
            "a\\xe2\\x80\\xaeb");
  EXPECT_EQ(EscapePath("\xC2\x9B"
                       "31m"),
            "\\xc2\\x9b31m");
  EXPECT_EQ(EscapePath("\xD7\xA9\xC3\xA4"), "\xD7\xA9\xC3\xA4");
}

TEST(CheckPath, RefusesWhatCouldLeaveOrConfuse) {
  for (const std::string good : {"a", "a/b.txt", "\xC3\xA4/x", "a..b", "...", "-rf"}) {
    EXPECT_TRUE(CheckPath("path", good).ok()) << good;
  }
  for (const std::string& bad :
       {std::string(), std::string("/a"), std::string("a/"), std::string("a//b"), std::string("../a"),
        std::string("a/.."), std::string("."), std::string("a\nb"), std::string("a\0b", 3), std::string("\xFF"),
        std::string("a\xE2\x80\xAE"
                    "b"),
        std::string("a\xC2\x9B"
                    "b"),
        std::string("\xEF\xBB\xBF"
                    "a"),
        std::string(256, 'n'), std::string(2000, 'n'), std::string("1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17")}) {
    EXPECT_EQ(CheckPath("path", bad).code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

}  // namespace
}  // namespace carrel::interpreter
