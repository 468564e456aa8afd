// A model and tools that answer in their own time, and a log and a clock that fail and leap when they are told to.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gateway/ports/chat_model.h"
#include "gateway/ports/clock.h"
#include "gateway/ports/code_tool.h"
#include "gateway/ports/file_store.h"
#include "gateway/ports/run_log.h"
#include "gateway/ports/search_tool.h"
#include "gtest/gtest.h"
#include "machine_fixture.h"

namespace carrel::gateway {

// Runs pieces of work on one thread after a delay; what is cancelled is not run.
class Timeline {
 public:
  Timeline() : thread_([this] { Loop(); }) {}
  ~Timeline() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      changed_.notify_all();
    }
    thread_.join();
  }
  void After(absl::Duration delay, std::function<void()> work) {
    const std::lock_guard lock(mutex_);
    work_.emplace(absl::Now() + delay, std::move(work));
    changed_.notify_all();
  }

 private:
  void Loop() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      if (work_.empty()) {
        changed_.wait(lock);
      } else if (const absl::Duration wait = work_.begin()->first - absl::Now(); wait > absl::ZeroDuration()) {
        changed_.wait_for(lock, absl::ToChronoNanoseconds(wait));
      } else {
        auto work = std::move(work_.begin()->second);
        work_.erase(work_.begin());
        lock.unlock();
        work();
        lock.lock();
      }
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::multimap<absl::Time, std::function<void()>> work_;
  bool stopping_ = false;
  std::thread thread_;
};

template <class Listener, class Base>
class Call final : public Base {
 public:
  struct Shared {
    std::mutex mutex;
    std::shared_ptr<Listener> listener;
  };
  explicit Call(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}
  ~Call() override {
    const std::lock_guard lock(shared_->mutex);
    shared_->listener = nullptr;
  }

 private:
  std::shared_ptr<Shared> shared_;
};

// Answers by the last message: "call NAME ARGS" on its lines makes calls, a tool's answer is repeated, "hang" never
// ends.
class FakeModel final : public ChatModel {
 public:
  using Made = Call<ChatListener, ChatCall>;

  std::unique_ptr<ChatCall> Start(ChatRequest request, std::shared_ptr<ChatListener> listener) override {
    auto shared = std::make_shared<Made::Shared>();
    shared->listener = std::move(listener);
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
    }
    timeline_.After(delay, [shared, request = std::move(request)] { Answer(*shared, request); });
    return std::make_unique<Made>(shared);
  }
  void ListModels(absl::AnyInvocable<void(absl::StatusOr<JsonText>)> done) override {
    done(absl::UnimplementedError("not asked by runs"));
  }
  std::vector<ChatRequest> requests() {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

  absl::Duration delay = absl::ZeroDuration();

 private:
  static void Answer(Made::Shared& shared, const ChatRequest& request) {
    const std::lock_guard lock(shared.mutex);
    if (shared.listener == nullptr) return;
    const ChatMessage& last = request.messages.back();
    const std::string text = last.parts.empty() ? "" : last.parts.back().text;
    if (text == "hang") return;
    if (last.role == ChatMessage::Role::kUser && text.starts_with("call ")) {
      int index = 0;
      std::istringstream lines(text);
      for (std::string line; std::getline(lines, line); ++index) {
        const std::size_t space = line.find(' ', 5);
        shared.listener->OnDelta({.tool_calls = {{.index = index,
                                                  .id = absl::StrCat("call_", index),
                                                  .name = line.substr(5, space - 5),
                                                  .arguments = line.substr(space + 1)}}});
      }
      shared.listener->OnEnd(ChatEnd{.reason = ChatEnd::Reason::kToolCalls});
      return;
    }
    shared.listener->OnDelta({.text = "Said: "});
    shared.listener->OnDelta({.text = text});
    shared.listener->OnEnd(ChatEnd{.usage = TokenUsage{.prompt_tokens = 1, .completion_tokens = 2}});
  }

  std::mutex mutex_;
  std::vector<ChatRequest> requests_;
  Timeline timeline_;
};

// "Runs" code by printing it; code that holds "write" writes /mnt/data/out.txt, "hang" never ends.
class FakeCode final : public CodeTool {
 public:
  using Made = Call<CodeListener, CodeCall>;
  explicit FakeCode(FileStore& files) : files_(files) {}

  std::unique_ptr<CodeCall> Start(CodeRequest request, std::shared_ptr<CodeListener> listener) override {
    auto shared = std::make_shared<Made::Shared>();
    shared->listener = std::move(listener);
    timeline_.After(absl::ZeroDuration(), [this, shared, request = std::move(request)] {
      const std::lock_guard lock(shared->mutex);
      if (shared->listener == nullptr || request.code == "hang") return;
      CodeResult result{.text = "printed " + request.code};
      for (const CodeFile& file : request.files) result.text += " " + file.path;
      if (request.code.find("write") != std::string::npos) {
        auto writer = *files_.Create(100);
        EXPECT_TRUE(writer->Append("bytes").ok());
        result.files.push_back({.path = "dir/out.txt", .media_type = "text/plain", .stored = *writer->Finish()});
      }
      shared->listener->OnLogs("printed ");
      shared->listener->OnEnd(std::move(result));
    });
    return std::make_unique<Made>(shared);
  }
  absl::Status Delete(const ProjectId&, const ContainerId& container) override {
    freed.push_back(container);
    return delete_status;
  }

  std::vector<ContainerId> freed;
  absl::Status delete_status;

 private:
  FileStore& files_;
  Timeline timeline_;
};

class FakeSearch final : public SearchTool {
 public:
  absl::Status EnsureStore(const ProjectId&, const StoreId&, const Chunking&) override { return absl::OkStatus(); }
  absl::Status DeleteStore(const ProjectId&, const StoreId&) override { return absl::OkStatus(); }
  absl::StatusOr<StoreModel> Model(const ProjectId&, const StoreId&) override { return StoreModel{.name = "fake"}; }
  absl::StatusOr<StoreModel> SetModel(const ProjectId&, const StoreId&, const std::string& model) override {
    return StoreModel{.name = model};
  }
  absl::StatusOr<StoreFileState> AddFile(const VectorStoreFile&, const FileObject&) override {
    return StoreFileState{.status = slow ? StoreFileStatus::kInProgress : StoreFileStatus::kCompleted};
  }
  absl::StatusOr<StoreFileState> FileState(const ProjectId&, const StoreId&, const FileId&) override {
    return StoreFileState{.status = slow ? StoreFileStatus::kInProgress : StoreFileStatus::kCompleted};
  }
  absl::Status SetAttributes(const ProjectId&, const StoreId&, const FileId&, const Attributes&) override {
    return absl::OkStatus();
  }
  absl::Status DeleteFile(const ProjectId&, const StoreId&, const FileId&) override { return absl::OkStatus(); }
  absl::StatusOr<std::string> FileText(const ProjectId&, const StoreId&, const FileId&) override { return ""; }
  absl::StatusOr<Citation> Cite(const ProjectId&, const StoreId&, const FileId&, const TextSpan&) override {
    return absl::UnimplementedError("no citations");
  }
  absl::StatusOr<PagePicture> RenderPage(const PictureRequest&) override {
    return absl::UnimplementedError("no pictures");
  }
  absl::StatusOr<SearchAnswer> Search(const SearchRequest& request) override {
    return SearchAnswer{.results = {{.file_id = FileId("file-found"),
                                     .file_name = "found.txt",
                                     .score = 1,
                                     .passage = absl::StrCat(request.queries.at(0), " in ", request.stores.size()),
                                     .citations = {{.quote = "quote"}}}}};
  }
  std::atomic<bool> slow = false;
};

// A log that refuses to store while it is told to, as on a full disk.
class FailingLog final : public RunLog {
 public:
  explicit FailingLog(RunLog& real) : real_(real) {}

  void Append(const RunId& run, std::vector<RunEvent> events, Publish publish,
              absl::AnyInvocable<void(absl::Status)> done) override {
    const bool is_delta_or_error = IsDelta(events.front().kind) || events.front().kind == RunEventKind::kError;
    if (!failing || is_delta_or_error) {
      real_.Append(run, std::move(events), publish, std::move(done));
      return;
    }
    ++failures;
    timeline_.After(absl::ZeroDuration(),
                    [done = std::make_shared<absl::AnyInvocable<void(absl::Status)>>(std::move(done))] {
                      (*done)(absl::ResourceExhaustedError("disk full"));
                    });
  }
  std::unique_ptr<RunSubscription> Subscribe(const RunId& run, uint64_t from) override {
    return real_.Subscribe(run, from);
  }
  uint64_t NextSequence(const RunId& run) override { return real_.NextSequence(run); }

  std::atomic<bool> failing = false;
  std::atomic<int> failures = 0;

 private:
  RunLog& real_;
  Timeline timeline_;
};

// A clock that can be put forward.
class MovedClock final : public Clock {
 public:
  absl::Time Now() override { return absl::Now() + absl::Seconds(ahead_seconds.load()); }
  std::atomic<int> ahead_seconds = 0;
};

}  // namespace carrel::gateway
