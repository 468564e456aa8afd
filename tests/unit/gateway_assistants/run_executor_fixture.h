// The executor over a real storage, with a model and tools of the test's own.
#pragma once

#include <stdlib.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "executor_fakes.h"
#include "gateway/assistants/run_executor.h"
#include "gateway/core/assistants.h"
#include "gateway/core/ingester.h"
#include "gateway/core/system.h"
#include "gateway/storage/blob_directory.h"
#include "gateway/storage/sqlite_storage.h"
#include "gateway/types/run_status_name.h"
#include "gtest/gtest.h"
#include "machine_fixture.h"

namespace carrel::gateway {

class RunExecutorTest : public ::testing::Test {
 protected:
  RunExecutorTest() {
    std::string name = (std::filesystem::temp_directory_path() / "carrel_runs_XXXXXX").string();
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
    Open();
    Assistants assistants(*backing_, *stores_);
    assistant_ =
        assistants.Create(project_, {.model = "m", .tools = {CodeToolOf(), SearchToolOf(), FunctionNamed("f")}})->id;
  }
  ~RunExecutorTest() override {
    Close();
    std::filesystem::remove_all(directory_);
  }

  void Open() {
    storage_ = *SqliteStorage::Open({.path = directory_ + "/db", .sync = SqliteStorage::Sync::kNormal});
    files_ = *OpenBlobDirectory(directory_ + "/blobs");
    code_ = std::make_unique<FakeCode>(*files_);
    backing_.emplace(Backing{storage_->repository(), *files_, search_, clock_, ids_});
    ingester_ = std::make_unique<Ingester>(*backing_);
    stores_ = std::make_unique<Stores>(*backing_, *ingester_);
    threads_ = std::make_unique<Threads>(*backing_, *stores_);
    model_ = std::make_unique<FakeModel>();
    log_ = std::make_unique<FailingLog>(storage_->run_log());
    executor_ =
        std::make_unique<RunExecutor>(ExecutorPorts{*backing_, *log_, *model_, *code_, *threads_, *stores_}, options_);
    ASSERT_TRUE(executor_->Recover().ok());
  }
  void Close() {
    executor_.reset();
    log_.reset();
    model_.reset();
    code_.reset();
    threads_.reset();
    stores_.reset();
    ingester_.reset();
    storage_.reset();
    files_.reset();
  }

  ThreadId NewThreadSaying(std::string text) {
    NewMessage message;
    message.content.push_back({.text = std::move(text)});
    return threads_->Create(project_, {.messages = {message}})->id;
  }
  gateway::Run Start(const ThreadId& thread) {
    auto started = executor_->Create(project_, thread, {.assistant_id = assistant_});
    EXPECT_TRUE(started.ok()) << started.status();
    return started->run;
  }
  gateway::Run Get(const gateway::Run& run) {
    gateway::Run found;
    EXPECT_TRUE(backing_->repository
                    .Read([&](const Snapshot& s) {
                      auto got = s.GetRun(project_, run.thread_id, run.id);
                      if (got.ok()) found = *std::move(got);
                      return got.status();
                    })
                    .ok());
    return found;
  }
  gateway::Run WaitFor(const gateway::Run& run, RunStatus status) {
    gateway::Run found = Get(run);
    for (const absl::Time end = absl::Now() + absl::Seconds(20); found.status != status && absl::Now() < end;) {
      absl::SleepFor(absl::Milliseconds(2));
      found = Get(run);
    }
    EXPECT_EQ(RunStatusName(found.status), RunStatusName(status))
        << (found.last_error.has_value() ? found.last_error->message : "");
    return found;
  }
  std::vector<Message> Messages(const ThreadId& thread) {
    return threads_->ListMessages(project_, thread, {}, {.limit = 100})->items;
  }
  std::string Answer(const ThreadId& thread) {
    const auto messages = Messages(thread);
    return messages.empty() || messages.front().content.empty() ? "" : messages.front().content.back().text;
  }
  std::vector<RunStep> Steps(const gateway::Run& run) {
    std::vector<RunStep> steps;
    EXPECT_TRUE(backing_->repository
                    .Read([&](const Snapshot& s) {
                      auto got = s.ListSteps(project_, run.thread_id, run.id, {.limit = 100, .ascending = true});
                      if (got.ok()) steps = got->items;
                      return got.status();
                    })
                    .ok());
    return steps;
  }
  // Names of the events of a run from `from` until the stream ends, deltas as one.
  std::vector<std::string> Stream(const RunId& run, uint64_t from) {
    const auto subscription = storage_->run_log().Subscribe(run, from);
    std::vector<std::string> names;
    const absl::Time end = absl::Now() + absl::Seconds(20);
    for (;;) {
      const auto events = subscription->Wait(100, end);
      if (!events.ok() || events->empty()) {
        ADD_FAILURE() << "the stream did not end: " << events.status();
        return names;
      }
      for (const RunEvent& event : *events) {
        const std::string name = NameOf(event.kind);
        if (!IsDelta(event.kind) || names.empty() || names.back() != name) names.push_back(name);
        if (EndsStream(event.kind)) return names;
      }
    }
  }

  const ProjectId project_{"p"};
  std::string directory_;
  MovedClock clock_;
  RandomIds ids_;
  FakeSearch search_;
  ExecutorOptions options_;
  std::unique_ptr<SqliteStorage> storage_;
  std::unique_ptr<FileStore> files_;
  std::optional<Backing> backing_;
  std::unique_ptr<Ingester> ingester_;
  std::unique_ptr<Stores> stores_;
  std::unique_ptr<Threads> threads_;
  std::unique_ptr<FakeModel> model_;
  std::unique_ptr<FakeCode> code_;
  std::unique_ptr<FailingLog> log_;
  std::unique_ptr<RunExecutor> executor_;
  AssistantId assistant_;
};

}  // namespace carrel::gateway
