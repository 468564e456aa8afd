// The library on a disk that fails: killed at any of its file operations, full, erring, with torn files.
//
// CARREL_FAULTS_ALL=1 tries every operation; else every few, beginning with another each run of the seed's.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <set>
#include <sstream>

#include "file_faults.h"
#include "gmock/gmock.h"
#include "library_fixture.h"

namespace carrel::retrieval {
namespace {

using carrel::testing::ClearFileFault;
using carrel::testing::FileFaultsHit;
using carrel::testing::FileOperation;
using carrel::testing::FileOperationsCounted;
using carrel::testing::SetFileFault;
using ::testing::AllOf;
using ::testing::HasSubstr;

uint64_t Stride(uint64_t usual) { return std::getenv("CARREL_FAULTS_ALL") != nullptr ? 1 : usual; }

std::string TextOf(const std::string& id) {
  return absl::StrCat("The note ", id, " says that the lamp of ", id, " is green. It was written in the morning.");
}

class FaultsTest : public LibraryFixture {
 protected:
  ~FaultsTest() override {
    ClearFileFault();
    library_.reset();
  }

  // Calls of every kind, in order; each is named, and what is acknowledged is told.
  void Script(const std::function<bool(const std::string& step, const absl::Status& status)>& told) {
    const auto step = [&](const std::string& name, const absl::Status& status) { return told(name, status); };
    if (!step("store s", MakeStore("s").status())) return;
    for (const char* id : {"a", "b", "c"}) {
      if (!step(absl::StrCat("add ", id), Add("s", id, TextOf(id)).status())) return;
    }
    for (const char* id : {"a", "b", "c"}) {
      if (!step("wait", WaitWhileHealthy("s", id))) return;
    }
    if (!step("delete b", Delete("s", "b").status())) return;
    if (!step("attributes", library_->UpdateDocument({kOwner, "s", "a"}, {{"n", 1.0}}).status())) return;
    if (!step("store t", MakeStore("t").status())) return;
    if (!step("add-t d", Add("t", "d", TextOf("d")).status())) return;
    if (!step("model", library_->UpdateStore(kOwner, "s", {.model = "other"}).status())) return;
    if (!step("maintain", library_->Maintain())) return;
    if (!step("delete-store t", library_->DeleteStore(kOwner, "t").status())) return;
    if (!step("add e", Add("s", "e", TextOf("e")).status())) return;
    if (!step("wait", WaitWhileHealthy("s", "e"))) return;
    if (!step("maintain", library_->Maintain())) return;
  }

  // With a full disk it would be long.
  absl::Status WaitWhileHealthy(const std::string& store, const std::string& id) {
    for (int i = 0; i < 3000; ++i, absl::SleepFor(absl::Milliseconds(10))) {
      const absl::StatusOr<DocumentInfo> document = Get(store, id);
      if (!document.ok()) return document.status();
      if (document->status != DocumentStatus::kInProgress || FileFaultsHit() > 0) return absl::OkStatus();
    }
    return absl::DeadlineExceededError("it is not read in");
  }

  // What must be true of a library that comes up after `acknowledged`, with `begun` on its way.
  void Judge(const std::set<std::string>& acknowledged, const std::string& begun, const std::string& when) {
    SCOPED_TRACE(when);
    const auto status = TryOpen({&embedder_, &other_});
    ASSERT_TRUE(status.ok()) << status;
    const bool store = library_->GetStore(kOwner, "s").ok();
    EXPECT_TRUE(store || !acknowledged.contains("store s"));
    if (!store) return;
    for (const char* id : {"a", "b", "c", "e"}) {
      SCOPED_TRACE(id);
      const bool deleted = acknowledged.contains(absl::StrCat("delete ", id));
      const bool going = begun == absl::StrCat("delete ", id);
      const bool added = acknowledged.contains(absl::StrCat("add ", id));
      const absl::StatusOr<DocumentInfo> document = Wait("s", id);
      if (deleted) {
        EXPECT_EQ(document.status().code(), absl::StatusCode::kNotFound);
      }
      if (added && !deleted && !going) {
        EXPECT_TRUE(document.ok()) << document.status();
      }
      if (document.ok()) {
        EXPECT_EQ(document->status, DocumentStatus::kCompleted) << document->message;
        EXPECT_EQ(Content("s", id).value_or(""), TextOf(id));
      }
      const Legs both{.words = document.ok(), .vectors = document.ok()};
      EXPECT_EQ(Found("s", id, TextOf(id)), both);
    }
    if (acknowledged.contains("attributes")) {
      EXPECT_EQ(Get("s", "a")->attributes.at("n"), AttributeValue(1.0));
    }
    if (acknowledged.contains("delete-store t")) {
      EXPECT_FALSE(library_->GetStore(kOwner, "t").ok());
    }
    // A change of model that was acknowledged comes to its end.
    if (acknowledged.contains("model")) {
      for (int i = 0; i < 300 && library_->GetStore(kOwner, "s")->model != "other"; ++i) {
        EXPECT_TRUE(library_->Maintain().ok());
        absl::SleepFor(absl::Milliseconds(20));
      }
      EXPECT_EQ(library_->GetStore(kOwner, "s")->model, "other");
      EXPECT_EQ(Found("s", "a", TextOf("a")), (Legs{true, true}));
    }
    EXPECT_TRUE(AddAndWait("s", "later", "A later note on something else.").ok());
    EXPECT_TRUE(library_->Maintain().ok());
    library_.reset();
    if (acknowledged.contains("delete b")) {
      EXPECT_FALSE(SomewhereOnDisk("note b says")) << "the words of what was deleted are still on the disk";
    }
  }

  bool SomewhereOnDisk(const std::string& words) const {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_)) {
      if (!entry.is_regular_file()) continue;
      std::ifstream in(entry.path(), std::ios::binary);
      std::ostringstream bytes;
      bytes << in.rdbuf();
      if (bytes.str().find(words) != std::string::npos) return true;
    }
    return false;
  }

  void Anew() {
    library_.reset();
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directory(directory_);
  }

  FakeEmbedder other_{"other", 32};
};

// One child for each point: it acknowledges over a pipe, and is ended at its n-th file operation.
TEST_F(FaultsTest, KilledAtAnyFileOperation) {
  uint64_t points = 0;
  bool to_the_end = false;
  const uint64_t stride = Stride(37);
  for (uint64_t at = 1; !to_the_end; at += stride) {
    Anew();
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::close(ends[0]);
      SetFileFault(directory_, {.at = at});
      const auto say = [&](std::string line) {
        line += '\n';
        if (::write(ends[1], line.data(), line.size()) < 0) ::_exit(2);
      };
      if (!TryOpen({&embedder_, &other_}).ok()) ::_exit(3);
      Script([&](const std::string& step, const absl::Status& status) {
        if (!status.ok()) ::_exit(4);
        say(step);
        return true;
      });
      library_.reset();
      ::_exit(0);
    }
    ::close(ends[1]);
    std::string lines;
    char buffer[512];
    for (ssize_t n = 0; (n = ::read(ends[0], buffer, sizeof(buffer))) > 0;)
      lines.append(buffer, static_cast<size_t>(n));
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    to_the_end = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    ASSERT_TRUE(to_the_end || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)) << status;
    std::set<std::string> acknowledged;
    std::istringstream in(lines);
    for (std::string line; std::getline(in, line);) acknowledged.insert(line);
    // What comes next in the script may or may not have happened.
    std::string begun;
    for (const char* step : {"delete b", "delete-store t"}) {
      if (begun.empty() && !acknowledged.contains(step)) begun = step;
    }
    Judge(acknowledged, begun, absl::StrCat("killed at file operation ", at, ", after: ", lines));
    if (HasFailure()) return;
    ++points;
  }
  EXPECT_GT(points, 5u);
  std::cout << points << " points\n";
}

// From its n-th growing operation on the disk is full: calls say so, what is there can be read and searched, and when
// there is room again all goes on without a restart.
TEST_F(FaultsTest, AFullDiskIsToldAndPasses) {
  const uint64_t stride = Stride(43);
  bool hit = true;
  for (uint64_t at = 1; hit; at += stride) {
    SCOPED_TRACE(absl::StrCat("full from operation ", at));
    Anew();
    ASSERT_TRUE(TryOpen({&embedder_, &other_}).ok());
    ASSERT_TRUE(MakeStore("old").ok());
    ASSERT_EQ(AddAndWait("old", "o", TextOf("o"))->status, DocumentStatus::kCompleted);
    SetFileFault(directory_, {.operation = FileOperation::kWrite, .at = at, .error = ENOSPC, .lasts = true});
    std::set<std::string> acknowledged;
    std::string refused;
    Script([&](const std::string& step, const absl::Status& status) {
      if (status.ok()) {
        acknowledged.insert(step);
      } else if (step != "wait") {
        EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << step << ": " << status;
        EXPECT_THAT(std::string(status.message()), HasSubstr("the disk is full")) << step;
        refused = step;
      }
      EXPECT_EQ(Found("old", "o", TextOf("o")), (Legs{true, true})) << step;
      EXPECT_EQ(Content("old", "o").value_or(""), TextOf("o")) << step;
      EXPECT_EQ(Get("old", "o")->status, DocumentStatus::kCompleted) << step;
      // What was taken but cannot be read in now would be waited for.
      return status.ok() && !(FileFaultsHit() > 0 && step.starts_with("add"));
    });
    hit = FileFaultsHit() > 0;
    ClearFileFault();
    if (!library_->GetStore(kOwner, "s").ok()) {
      EXPECT_FALSE(acknowledged.contains("store s"));
      ASSERT_TRUE(MakeStore("s").ok());
    }
    const absl::StatusOr<DocumentInfo> again = AddAndWait("s", "again", TextOf("again"));
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(again->status, DocumentStatus::kCompleted) << again->message;
    EXPECT_EQ(Found("s", "again", TextOf("again")), (Legs{true, true}));
    Judge(acknowledged, refused, "after the disk was full");
    if (HasFailure()) return;
  }
}

// A single error of the disk, anywhere: the call it hits fails or not, but nothing is lost or half there, now or after
// a restart.
TEST_F(FaultsTest, AnErrorOfTheDiskLosesNothing) {
  const uint64_t stride = Stride(47);
  bool hit = true;
  for (uint64_t at = 1; hit; at += stride) {
    Anew();
    SetFileFault(directory_, {.at = at, .error = EIO});
    std::set<std::string> acknowledged;
    std::string refused;
    const absl::Status opened = TryOpen({&embedder_, &other_});
    if (opened.ok()) {
      Script([&](const std::string& step, const absl::Status& status) {
        if (status.ok()) acknowledged.insert(step);
        if (!status.ok()) refused = step;
        return status.ok();
      });
    }
    hit = FileFaultsHit() > 0;
    ClearFileFault();
    Judge(acknowledged, refused, absl::StrCat("an error at operation ", at, ", refused: ", refused));
    if (HasFailure()) return;
  }
}

// Bytes that were damaged on the disk are not read as if they were the document; giving them again heals it.
TEST_F(FaultsTest, DamagedBytesAreToldAndHealed) {
  for (const bool gone : {false, true}) {
    Anew();
    Open();
    ASSERT_TRUE(MakeStore("s").ok());
    ASSERT_EQ(AddAndWait("s", "a", TextOf("a"))->status, DocumentStatus::kCompleted);
    // The second is in the queue when its bytes are damaged: nothing reads while there is no model.
    FakeEmbedder other("other", 32);
    ASSERT_TRUE(TryOpen({&other}).ok());
    const absl::StatusOr<DocumentInfo> added = Add("s", "b", TextOf("b"));
    ASSERT_TRUE(added.ok()) << added.status();
    const std::string blob = absl::StrCat(directory_, "/blobs/", added->sha256.substr(0, 2), "/", added->sha256);
    ASSERT_TRUE(std::filesystem::exists(blob));
    library_.reset();
    if (gone) {
      std::filesystem::remove(blob);
    } else {
      std::ofstream(blob, std::ios::in | std::ios::out) << "Th3";
    }
    Open();
    const absl::StatusOr<DocumentInfo> failed = Wait("s", "b");
    ASSERT_TRUE(failed.ok());
    EXPECT_EQ(failed->status, DocumentStatus::kFailed);
    EXPECT_EQ(failed->verdict, Verdict::kInternal);
    EXPECT_THAT(failed->message, AllOf(HasSubstr(gone ? "gone" : "damaged"), HasSubstr("add it again")));
    EXPECT_EQ(Found("s", "b", TextOf("b")), Legs{});
    EXPECT_EQ(Found("s", "a", TextOf("a")), (Legs{true, true}));
    EXPECT_EQ(AddAndWait("s", "again", TextOf("b"))->status, DocumentStatus::kCompleted);
    EXPECT_EQ(Wait("s", "b")->status, DocumentStatus::kCompleted) << "the same bytes";
  }
}

// A log that was cut off or garbled anywhere (after power was lost with sync = "normal", say) loses its end, not the
// library.
TEST_F(FaultsTest, ATornLogLosesItsEndOnly) {
  Open();
  ASSERT_TRUE(MakeStore("s").ok());
  ASSERT_EQ(AddAndWait("s", "a", TextOf("a"))->status, DocumentStatus::kCompleted);
  ASSERT_TRUE(library_->Maintain().ok());  // in the database itself from here on
  ASSERT_EQ(AddAndWait("s", "b", TextOf("b"))->status, DocumentStatus::kCompleted);
  const std::string kept = directory_ + ".kept";
  std::filesystem::remove_all(kept);
  std::filesystem::copy(directory_, kept, std::filesystem::copy_options::recursive);  // as a crash leaves it
  library_.reset();
  const uint64_t size = std::filesystem::file_size(kept + "/retrieval.db-wal");
  ASSERT_GT(size, 10'000u);
  for (int i = 0; i < 24; ++i) {
    SCOPED_TRACE(i);
    std::filesystem::remove_all(directory_);
    std::filesystem::copy(kept, directory_, std::filesystem::copy_options::recursive);
    const std::string log = directory_ + "/retrieval.db-wal";
    const uint64_t where = size * static_cast<uint64_t>(i) / 24;
    if (i % 2 == 0) {
      std::filesystem::resize_file(log, where);
    } else {
      std::fstream file(log, std::ios::in | std::ios::out | std::ios::binary);
      file.seekp(static_cast<std::streamoff>(where));
      file << "garbage all over the place";
    }
    Open();
    EXPECT_EQ(Found("s", "a", TextOf("a")), (Legs{true, true}));
    const absl::StatusOr<DocumentInfo> b = Wait("s", "b");
    const bool there = b.ok() && b->status == DocumentStatus::kCompleted;
    EXPECT_TRUE(there || !b.ok() || b->status == DocumentStatus::kFailed);
    EXPECT_EQ(Found("s", "b", TextOf("b")), (Legs{there, there}));
    EXPECT_EQ(AddAndWait("s", "c", TextOf("c"))->status, DocumentStatus::kCompleted);
    library_.reset();
  }
  std::filesystem::remove_all(kept);
}

TEST_F(FaultsTest, SyncIsWhatWasAskedFor) {
  uint64_t syncs[2] = {};
  for (const bool full : {false, true}) {
    Anew();
    ASSERT_TRUE(TryOpen({&embedder_}, {.sync_full = full}).ok());
    ASSERT_TRUE(MakeStore("s").ok());
    SetFileFault(directory_, {.operation = FileOperation::kSync, .at = 0});
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(library_->UpdateStore(kOwner, "s", {.name = absl::StrCat(i)}).ok());
    syncs[full ? 1 : 0] = FileOperationsCounted();
    ClearFileFault();
  }
  EXPECT_EQ(syncs[0], 0u) << "a commit waits for the disk, though it was not to";
  EXPECT_GE(syncs[1], 5u) << "a commit does not wait for the disk";
}

}  // namespace
}  // namespace carrel::retrieval
