#include "event_stream.h"

#include <utility>

#include "mapping.h"

namespace carrel::interpreter {
namespace {

// An artifact is pushed only when less waits: files may be much larger than output.
constexpr size_t kArtifactRoomBytes = 4 << 20;

}  // namespace

EventStream::EventStream(grpc::ServerContext& context, grpc::ServerWriter<v1::ExecuteEvent>& writer)
    : context_(context), writer_(writer), thread_([this] { WriteLoop(); }) {}

EventStream::~EventStream() { Join(); }

void EventStream::Join() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void EventStream::Push(v1::ExecuteEvent event) {
  const std::lock_guard lock(mutex_);
  if (broken_) return;
  queue_bytes_ += event.ByteSizeLong();
  queue_.push_back(std::move(event));
  changed_.notify_all();
}

void EventStream::OnStarted(const std::string& session_id, absl::Duration queued, absl::Duration linger) {
  v1::ExecuteEvent event;
  v1::Started& started = *event.mutable_started();
  started.set_session_id(session_id);
  started.set_queued_ms(static_cast<uint64_t>(absl::ToInt64Milliseconds(queued)));
  started.set_linger_ms(static_cast<uint64_t>(absl::ToInt64Milliseconds(linger)));
  Push(std::move(event));
}

void EventStream::OnStdout(std::string text) {
  v1::ExecuteEvent event;
  event.set_stdout(std::move(text));
  Push(std::move(event));
}

void EventStream::OnStderr(std::string text) {
  v1::ExecuteEvent event;
  event.set_stderr(std::move(text));
  Push(std::move(event));
}

void EventStream::OnDisplay(Display display) {
  v1::ExecuteEvent event;
  *event.mutable_display() = ToProto(std::move(display));
  Push(std::move(event));
}

void EventStream::OnArtifact(Artifact artifact) {
  v1::ExecuteEvent event;
  *event.mutable_artifact() = ToProto(std::move(artifact));
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return broken_ || queue_bytes_ < kArtifactRoomBytes; });
  }
  Push(std::move(event));
}

bool EventStream::Cancelled() const { return context_.IsCancelled(); }

void EventStream::Finish(Outcome outcome) {
  v1::ExecuteEvent event;
  *event.mutable_finished() = ToProto(std::move(outcome));
  Push(std::move(event));
  Join();
}

void EventStream::WriteLoop() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return closed_ || !queue_.empty(); });
    if (queue_.empty()) return;
    const v1::ExecuteEvent event = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    // Blocks while the client does not read; fails once it is gone. The last event travels with the call's status.
    const bool written =
        event.has_finished() ? (writer_.WriteLast(event, grpc::WriteOptions()), true) : writer_.Write(event);
    lock.lock();
    queue_bytes_ -= event.ByteSizeLong();
    if (!written) {
      broken_ = true;
      queue_.clear();
      queue_bytes_ = 0;
    }
    changed_.notify_all();
  }
}

}  // namespace carrel::interpreter
