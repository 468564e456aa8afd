// A call's events on their way to the client. Those of a short call are written together, by the thread that ran it;
// from when the call is known to last, by a thread of their own, so that a client that does not read cannot hold up the
// clock of the call's limits.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/sync_stream.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>

#include "carrel/interpreter/v1/code_interpreter.grpc.pb.h"
#include "interpreter/engine/call.h"

namespace carrel::interpreter {

// What may wait is bounded by the call's own limits (output and displays); artifacts wait for room.
class EventStream final : public EventSink {
 public:
  EventStream(grpc::ServerContext& context, grpc::ServerWriter<v1::ExecuteEvent>& writer)
      : context_(context), writer_(writer) {}
  EventStream(const EventStream&) = delete;
  EventStream& operator=(const EventStream&) = delete;
  ~EventStream() override;

  void OnStarted(const std::string& session_id, absl::Duration queued, absl::Duration linger) override;
  void OnStdout(std::string text) override;
  void OnStderr(std::string text) override;
  void OnDisplay(Display display) override;
  void OnArtifact(Artifact artifact) override;
  void OnHandedOver() override;
  void OnLasting() override;
  [[nodiscard]] bool Cancelled() const override;

  // Sends the rest and then the outcome. Nothing may follow.
  void Finish(Outcome outcome);

 private:
  void Push(v1::ExecuteEvent event);
  void WriteLoop();
  // Where there is no writer: by the call's own thread.
  void SendWaiting();
  // Blocks while the client does not read. false: it is gone.
  [[nodiscard]] bool Write(const v1::ExecuteEvent& event, bool more_follow);
  void Join();

  grpc::ServerContext& context_;
  grpc::ServerWriter<v1::ExecuteEvent>& writer_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<v1::ExecuteEvent> queue_;
  size_t queue_bytes_ = 0;
  bool closed_ = false;  // nothing more comes
  bool broken_ = false;  // the client is gone
  std::thread thread_;   // started and joined by the call's own
};

}  // namespace carrel::interpreter
