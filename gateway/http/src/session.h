// One connection: request after request, each read within its limits, answered, and told to the observer.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "asio.h"
#include "gateway/http/server.h"
#include "message.h"
#include "routes.h"

namespace carrel::gateway::http {

// What all connections share.
struct Shared {
  Options options;
  Api api;
  asio::thread_pool workers;
  std::atomic<bool> draining = false;
  std::atomic<uint64_t> connections = 0;

  Shared(Options o, Api a) : options(std::move(o)), api(a), workers(options.worker_threads) {}
};

class Session : public std::enable_shared_from_this<Session> {
 public:
  // `admin`: the peer may administer keys and needs none.
  Session(Shared& shared, Socket socket, bool admin);
  ~Session();

  // On the connection's strand, until it is closed.
  asio::awaitable<void> Run();
  // From any thread. Closes it now, or, when `only_idle`, unless a request is being served.
  void Close(bool only_idle);
  // From any thread. A stream of events says that the server stops, and ends.
  void EndStream();

 private:
  using Parser = beast::http::request_parser<beast::http::buffer_body>;

  // Which part of a form is streamed to the store.
  struct FilePart {
    const char* name;
    uint64_t bytes_max;
  };
  static FilePart FilePartOf(BodyKind body);

  // One request; false: the connection is to be closed.
  asio::awaitable<bool> Serve(Parser& parser);
  asio::awaitable<absl::StatusOr<Response>> Answer(Parser& parser, Request& request, std::string& route);
  asio::awaitable<absl::Status> ReadBody(Parser& parser, std::string& body);
  asio::awaitable<absl::Status> ReadUpload(Parser& parser, const FilePart& part, Upload& upload);
  // The next bytes of the body, to `buffer`; 0 at its end.
  asio::awaitable<absl::StatusOr<size_t>> ReadSome(Parser& parser, char* buffer, size_t size);
  asio::awaitable<bool> Discard(Parser& parser);
  // Lets a client that is still sending read its answer: closing at once would throw the answer away.
  asio::awaitable<void> Linger();

  asio::awaitable<bool> Write(const Request& request, absl::Time begun, Response& response, bool keep);
  asio::awaitable<bool> WriteText(const Request& request, absl::Time begun, int status, std::string_view type,
                                  const std::string& body, bool keep);
  asio::awaitable<bool> WriteFile(const Request& request, absl::Time begun, FileBody& file, bool keep);
  asio::awaitable<bool> WriteEvents(const Request& request, absl::Time begun, EventStream& stream);
  asio::awaitable<bool> WriteChunk(std::string_view text);
  beast::http::response_header<> HeadOf(const Request& request, absl::Time begun, int status,
                                        std::string_view type) const;

  // Runs `work` on a worker, and the coroutine again when it is done.
  template <typename Work>
  asio::awaitable<void> OnWorker(Work work);

  Shared& shared_;
  Stream stream_;
  beast::flat_buffer buffer_;
  const bool admin_;
  // On the strand:
  bool serving_ = false;
  bool awaits_continue_ = false;  // the client sends its body only when it is told to
  bool read_failed_ = false;      // nothing more comes: a second read after the end would wait for nothing
  bool stream_must_end_ = false;
  std::function<void()> wake_stream_;
};

}  // namespace carrel::gateway::http
