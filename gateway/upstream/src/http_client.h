// HTTP/1.1 requests with streamed answers, over TCP or TLS, directly or through a proxy, with idle connections kept.
#pragma once

// clang-format off: awaitable.hpp of Boost 1.74 needs it and does not include it.
#include <utility>
// clang-format on

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gateway/upstream/options.h"
#include "gateway/upstream/url.h"

namespace carrel::gateway {

class HttpConnection;

// Lets another coroutine of the same thread end an exchange. Used on the io_context's thread only.
class CancelToken final {
 public:
  void Cancel() {
    cancelled_ = true;
    if (abort_) abort_();
  }
  [[nodiscard]] bool cancelled() const { return cancelled_; }
  // What ends the wait that is on now; replaced from wait to wait.
  void OnCancel(std::function<void()> abort) { abort_ = std::move(abort); }

 private:
  bool cancelled_ = false;
  std::function<void()> abort_;
};

struct HttpRequest {
  std::string_view method;
  // Appended to the base's path.
  std::string_view target;
  std::string_view content_type;
  std::string_view accept;
  std::string_view body;
};

struct HttpHead {
  int status = 0;
  std::string content_type;
  std::string retry_after;
  std::string retry_after_ms;
};

// Reads one answer. An error ends the exchange, and is its result.
class HttpReader {
 public:
  virtual ~HttpReader() = default;
  [[nodiscard]] virtual absl::Status OnHead(const HttpHead& head) = 0;
  [[nodiscard]] virtual absl::Status OnBody(std::string_view piece) = 0;
  // true: it has all it wants; the little that follows is read only so that the connection can be kept.
  [[nodiscard]] virtual bool IsFinished() const = 0;
};

// Looks a host's addresses up and calls `done` once on the io_context's thread, at some time: a name server that is not
// there takes longer than anybody waits.
using ResolveDone = std::function<void(boost::system::error_code, boost::asio::ip::tcp::resolver::results_type)>;
using Resolve = std::function<void(const std::string& host, const std::string& port, ResolveDone done)>;

// Not thread-safe: everything runs on the one thread of `io`, which must outlive it.
class HttpClient final {
 public:
  // INVALID_ARGUMENT when the base, the proxy or the CA file cannot be used.
  // `resolve`: the system's, unless a test has one of its own.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<HttpClient>> Create(boost::asio::io_context& io,
                                                                          const UpstreamOptions& options,
                                                                          Resolve resolve = nullptr);
  ~HttpClient();

  // OK when the answer, whatever its status, was read to its end. UNAVAILABLE: no connection, or it broke;
  // DEADLINE_EXCEEDED: a time-out; CANCELLED; FAILED_PRECONDITION: TLS or the proxy refused; INVALID_ARGUMENT: not
  // HTTP.
  [[nodiscard]] boost::asio::awaitable<absl::Status> Exchange(const HttpRequest& request, HttpReader& reader,
                                                              CancelToken& cancel);

 private:
  HttpClient(boost::asio::io_context& io, const UpstreamOptions& options, Url base, std::optional<Url> proxy);

  [[nodiscard]] absl::Status LoadTrust();
  [[nodiscard]] boost::asio::awaitable<absl::StatusOr<boost::asio::ip::tcp::resolver::results_type>> LookUp(
      const Url& host, CancelToken& cancel);
  [[nodiscard]] boost::asio::awaitable<absl::StatusOr<std::unique_ptr<HttpConnection>>> Connect(CancelToken& cancel);
  [[nodiscard]] std::unique_ptr<HttpConnection> TakeIdle();
  void KeepIdle(std::unique_ptr<HttpConnection> connection);

  boost::asio::io_context& io_;
  UpstreamOptions options_;
  Url base_;
  std::optional<Url> proxy_;
  Resolve resolve_;
  boost::asio::ssl::context tls_;
  std::list<std::unique_ptr<HttpConnection>> idle_;
};

}  // namespace carrel::gateway
