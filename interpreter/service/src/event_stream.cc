#include "event_stream.h"

#include <system_error>
#include <utility>

#include "mapping.h"

namespace carrel::interpreter {
namespace {

// An artifact is pushed only when less waits: files may be much larger than output.
constexpr size_t kArtifactRoomBytes = 4 << 20;
// No call that has said more is a short one.
constexpr size_t kTogetherBytesMax = 64 << 10;

}  // namespace

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
  size_t waiting = 0;
  {
    const std::lock_guard lock(mutex_);
    if (broken_) return;
    queue_bytes_ += event.ByteSizeLong();
    waiting = queue_bytes_;
    queue_.push_back(std::move(event));
    changed_.notify_all();
  }
  if (waiting > kTogetherBytesMax) OnLasting();
}

// Headers do not wait for the client to read, and gRPC holds no message back before they are on their way.
void EventStream::OnHandedOver() { writer_.SendInitialMetadata(); }

void EventStream::OnLasting() {
  if (thread_.joinable()) return;
  try {
    thread_ = std::thread([this] { WriteLoop(); });
  } catch (const std::system_error&) {
    // There is no room for a thread. What waits is sent by the one that a later event gets, or at the end.
  }
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
  // Over the room a writer is there, if there was room for its thread.
  if (!thread_.joinable() && queue_bytes_ >= kArtifactRoomBytes) SendWaiting();
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
  if (thread_.joinable()) return Join();
  SendWaiting();
}

void EventStream::SendWaiting() {
  while (!queue_.empty()) {
    if (!Write(queue_.front(), queue_.size() > 1)) {
      broken_ = true;
      return;
    }
    queue_.pop_front();
  }
  queue_bytes_ = 0;
}

bool EventStream::Write(const v1::ExecuteEvent& event, bool more_follow) {
  if (event.has_finished()) {
    writer_.WriteLast(event, grpc::WriteOptions());  // travels with the call's status
    return true;
  }
  grpc::WriteOptions options;
  if (more_follow) options.set_buffer_hint();
  return writer_.Write(event, options);
}

void EventStream::WriteLoop() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return closed_ || !queue_.empty(); });
    if (queue_.empty()) return;
    const v1::ExecuteEvent event = std::move(queue_.front());
    queue_.pop_front();
    const bool more_follow = !queue_.empty();
    lock.unlock();
    const bool written = Write(event, more_follow);
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
