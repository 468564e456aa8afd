#include "http_client.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <chrono>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace carrel::gateway {
namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::redirect_error;
using asio::use_awaitable;
using asio::ip::tcp;
using beast::error_code;

class HttpConnection final {
 public:
  HttpConnection(asio::io_context& io, asio::ssl::context& tls) : stream(io, tls) {}

  [[nodiscard]] beast::tcp_stream& socket() { return stream.next_layer(); }
  // The socket has nothing to say before we ask: what it says in idleness is that it has been closed.
  [[nodiscard]] bool IsAlive() {
    error_code ec;
    std::array<char, 1> probe{};
    auto& raw = socket().socket();
    raw.non_blocking(true, ec);
    raw.receive(asio::buffer(probe), tcp::socket::message_peek, ec);
    return ec == asio::error::would_block;
  }

  // Used whole for https; for http only its inner stream.
  beast::ssl_stream<beast::tcp_stream> stream;
  beast::flat_buffer buffer;
  bool encrypted = false;
  bool used_before = false;
  absl::Time idle_since;
};

namespace {

// For what follows the end of an answer: a last chunk of no bytes.
constexpr absl::Duration kTailTimeout = absl::Seconds(1);

absl::Status FromError(const error_code& ec, const std::string& doing, const CancelToken& cancel) {
  if (!ec) return absl::OkStatus();
  if (cancel.cancelled()) return absl::CancelledError("cancelled");
  const std::string said = absl::StrCat(doing, ": ", ec.message());
  if (ec == beast::error::timeout) return absl::DeadlineExceededError(absl::StrCat(doing, ": timed out"));
  if (ec.category() == asio::error::get_ssl_category()) return absl::FailedPreconditionError(said);
  if (ec == http::error::body_limit || ec == http::error::header_limit) return absl::ResourceExhaustedError(said);
  if (ec == http::error::end_of_stream || ec == http::error::partial_message) return absl::UnavailableError(said);
  if (ec.category() == make_error_code(http::error::bad_version).category()) return absl::InvalidArgumentError(said);
  return absl::UnavailableError(said);
}

Resolve SystemResolve(asio::io_context& io) {
  return [&io](const std::string& host, const std::string& port, ResolveDone done) {
    auto resolver = std::make_shared<tcp::resolver>(io);
    resolver->async_resolve(host, port,
                            [resolver, done = std::move(done)](error_code error, tcp::resolver::results_type found) {
                              done(error, std::move(found));
                            });
  };
}

std::chrono::steady_clock::duration ToChrono(absl::Duration d) {
  return std::chrono::duration_cast<std::chrono::steady_clock::duration>(absl::ToChronoNanoseconds(d));
}

// A server whose queue of connections is full lets us believe that we are connected and answers nothing; without this
// the kernel would go on for a quarter of an hour. Where it cannot be set, the time-outs of the answer remain.
void GiveUpOnUnacknowledged(int fd, absl::Duration after) {
  const auto milliseconds = static_cast<unsigned>(absl::ToInt64Milliseconds(after));
  ::setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds, sizeof milliseconds);
}

template <class Fields>
void ProxyAuthorization(const Url& proxy, Fields& fields) {
  if (proxy.user_info.empty()) return;
  // Percent escapes are undone here, where "user:password" is used.
  std::string plain;
  for (std::size_t i = 0; i < proxy.user_info.size(); ++i) {
    if (proxy.user_info[i] == '%' && i + 2 < proxy.user_info.size()) {
      plain += absl::HexStringToBytes(proxy.user_info.substr(i + 1, 2));
      i += 2;
    } else {
      plain += proxy.user_info[i];
    }
  }
  fields.set(http::field::proxy_authorization, absl::StrCat("Basic ", absl::Base64Escape(plain)));
}

// Sends the request and hands on the answer. `started` is set with the first byte of it. Returns whether the connection
// can serve another request.
template <class Stream>
asio::awaitable<absl::StatusOr<bool>> Converse(Stream& stream, HttpConnection& connection,
                                               const http::request<http::string_body>& request, HttpReader& reader,
                                               const UpstreamOptions& options, CancelToken& cancel, bool& started) {
  error_code ec;
  connection.socket().expires_after(ToChrono(options.first_byte_timeout));
  co_await http::async_write(stream, request, redirect_error(use_awaitable, ec));
  if (ec) co_return FromError(ec, "sending the request", cancel);

  http::response_parser<http::buffer_body> parser;
  parser.header_limit(64 * 1024);
  parser.body_limit(options.response_bytes_max);
  co_await http::async_read_header(stream, connection.buffer, parser, redirect_error(use_awaitable, ec));
  if (ec) co_return FromError(ec, "waiting for the answer", cancel);
  started = true;
  const auto& answer = parser.get();
  const HttpHead head{.status = static_cast<int>(answer.result_int()),
                      .content_type = std::string(answer[http::field::content_type]),
                      .retry_after = std::string(answer[http::field::retry_after]),
                      .retry_after_ms = std::string(answer["retry-after-ms"])};
  absl::Status taken = reader.OnHead(head);
  if (!taken.ok()) co_return taken;

  std::array<char, 16 * 1024> piece;
  while (!parser.is_done()) {
    auto& body = parser.get().body();
    body.data = piece.data();
    body.size = piece.size();
    connection.socket().expires_after(ToChrono(reader.IsFinished() ? kTailTimeout : options.idle_timeout));
    co_await http::async_read_some(stream, connection.buffer, parser, redirect_error(use_awaitable, ec));
    if (ec == http::error::need_buffer) ec = {};
    const std::size_t length = piece.size() - parser.get().body().size;
    if (length > 0) taken = reader.OnBody({piece.data(), length});
    if (!taken.ok()) co_return taken;
    if (ec) co_return FromError(ec, "reading the answer", cancel);
    if (cancel.cancelled()) co_return absl::CancelledError("cancelled");
  }
  co_return parser.get().keep_alive();
}

}  // namespace

HttpClient::HttpClient(asio::io_context& io, const UpstreamOptions& options, Url base, std::optional<Url> proxy)
    : io_(io),
      options_(options),
      base_(std::move(base)),
      proxy_(std::move(proxy)),
      tls_(asio::ssl::context::tls_client) {}

HttpClient::~HttpClient() = default;

absl::StatusOr<std::unique_ptr<HttpClient>> HttpClient::Create(asio::io_context& io, const UpstreamOptions& options,
                                                               Resolve resolve) {
  auto base = ParseUrl(options.base_url);
  if (!base.ok()) return absl::InvalidArgumentError(absl::StrCat("the model's base URL is ", base.status().message()));
  if (!base->user_info.empty()) {
    return absl::InvalidArgumentError("the model's base URL must not hold a password: use the API key setting");
  }
  std::optional<Url> proxy;
  if (!options.proxy_url.empty()) {
    auto parsed = ParseUrl(options.proxy_url);
    if (!parsed.ok()) return absl::InvalidArgumentError(absl::StrCat("the proxy is ", parsed.status().message()));
    if (parsed->tls) return absl::InvalidArgumentError("a proxy is reached by http:// only");
    proxy = *std::move(parsed);
  }
  std::unique_ptr<HttpClient> client(new HttpClient(io, options, *std::move(base), std::move(proxy)));
  client->resolve_ = resolve != nullptr ? std::move(resolve) : SystemResolve(io);
  if (auto status = client->LoadTrust(); !status.ok()) return status;
  return client;
}

absl::Status HttpClient::LoadTrust() {
  error_code ec;
  if (options_.ca_file.empty()) {
    tls_.set_default_verify_paths(ec);
  } else {
    tls_.load_verify_file(options_.ca_file, ec);
  }
  if (ec) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot read the authorities to trust ", options_.ca_file, ": ", ec.message()));
  }
  tls_.set_verify_mode(asio::ssl::verify_peer, ec);
  SSL_CTX_set_min_proto_version(tls_.native_handle(), TLS1_2_VERSION);
  return absl::OkStatus();
}

std::unique_ptr<HttpConnection> HttpClient::TakeIdle() {
  const absl::Time oldest = absl::Now() - options_.idle_connection_age_max;
  while (!idle_.empty()) {
    std::unique_ptr<HttpConnection> connection = std::move(idle_.back());
    idle_.pop_back();
    if (connection->idle_since >= oldest && connection->IsAlive()) return connection;
  }
  return nullptr;
}

void HttpClient::KeepIdle(std::unique_ptr<HttpConnection> connection) {
  if (connection->buffer.size() > 0) return;  // bytes that nobody asked for
  connection->socket().expires_never();
  connection->idle_since = absl::Now();
  connection->used_before = true;
  idle_.push_back(std::move(connection));
  if (idle_.size() > options_.idle_connections_max) idle_.pop_front();
}

// Ends by its own clock: the system's resolver cannot be interrupted, so its late answer finds nobody waiting.
asio::awaitable<absl::StatusOr<tcp::resolver::results_type>> HttpClient::LookUp(const Url& host, CancelToken& cancel) {
  struct Question {
    explicit Question(asio::io_context& io) : timer(io) {}
    asio::steady_timer timer;
    bool answered = false;
    error_code error;
    tcp::resolver::results_type addresses;
  };
  const auto question = std::make_shared<Question>(io_);
  question->timer.expires_after(ToChrono(options_.connect_timeout));
  resolve_(host.host, std::to_string(host.port), [question](error_code error, tcp::resolver::results_type addresses) {
    question->answered = true;
    question->error = error;
    question->addresses = std::move(addresses);
    question->timer.cancel();
  });
  cancel.OnCancel([question] { question->timer.cancel(); });
  error_code woken;
  if (!question->answered && !cancel.cancelled()) {
    co_await question->timer.async_wait(redirect_error(use_awaitable, woken));
  }
  cancel.OnCancel(nullptr);
  const std::string doing = absl::StrCat("looking up ", host.host);
  if (cancel.cancelled()) co_return absl::CancelledError("cancelled");
  if (!question->answered) {
    co_return absl::UnavailableError(
        absl::StrCat(doing, ": no answer in ", absl::FormatDuration(options_.connect_timeout)));
  }
  if (question->error) co_return FromError(question->error, doing, cancel);
  co_return std::move(question->addresses);
}

asio::awaitable<absl::StatusOr<std::unique_ptr<HttpConnection>>> HttpClient::Connect(CancelToken& cancel) {
  const Url& first_hop = proxy_.has_value() ? *proxy_ : base_;
  auto connection = std::make_unique<HttpConnection>(io_, tls_);
  error_code ec;
  const std::string where = absl::StrCat(first_hop.host, ":", first_hop.port);
  const auto addresses = co_await LookUp(first_hop, cancel);
  if (!addresses.ok()) co_return addresses.status();
  HttpConnection* raw = connection.get();
  cancel.OnCancel([raw] { raw->socket().cancel(); });
  raw->socket().expires_after(ToChrono(options_.connect_timeout));
  co_await raw->socket().async_connect(*addresses, redirect_error(use_awaitable, ec));
  if (!ec) raw->socket().socket().set_option(tcp::no_delay(true), ec);
  if (!ec) GiveUpOnUnacknowledged(raw->socket().socket().native_handle(), options_.connect_timeout);
  if (!ec && base_.tls && proxy_.has_value()) {
    http::request<http::empty_body> tunnel(http::verb::connect, absl::StrCat(base_.host, ":", base_.port), 11);
    tunnel.set(http::field::host, absl::StrCat(base_.host, ":", base_.port));
    ProxyAuthorization(*proxy_, tunnel);
    co_await http::async_write(raw->socket(), tunnel, redirect_error(use_awaitable, ec));
    http::response_parser<http::empty_body> reply;
    reply.skip(true);
    if (!ec) {
      co_await http::async_read_header(raw->socket(), raw->buffer, reply, redirect_error(use_awaitable, ec));
    }
    if (!ec && reply.get().result() != http::status::ok) {
      cancel.OnCancel(nullptr);
      co_return absl::FailedPreconditionError(
          absl::StrCat("the proxy refused the tunnel with status ", reply.get().result_int()));
    }
    raw->buffer.clear();
  }
  if (!ec && base_.tls) {
    if (SSL_set_tlsext_host_name(raw->stream.native_handle(), base_.host.c_str()) != 1) {
      co_return absl::InternalError("the host's name cannot be sent");
    }
    raw->stream.set_verify_callback(asio::ssl::host_name_verification(base_.host));
    co_await raw->stream.async_handshake(asio::ssl::stream_base::client, redirect_error(use_awaitable, ec));
    raw->encrypted = true;
  }
  cancel.OnCancel(nullptr);
  if (ec == beast::error::timeout)
    co_return absl::UnavailableError(absl::StrCat("connecting to ", where, ": timed out"));
  if (ec) co_return FromError(ec, absl::StrCat("connecting to ", where), cancel);
  co_return connection;
}

asio::awaitable<absl::Status> HttpClient::Exchange(const HttpRequest& request, HttpReader& reader,
                                                   CancelToken& cancel) {
  http::request<http::string_body> message;
  message.method(http::string_to_verb({request.method.data(), request.method.size()}));
  const std::string path = base_.path + std::string(request.target);
  const bool by_proxy = proxy_.has_value() && !base_.tls;
  message.target(by_proxy ? absl::StrCat("http://", base_.Authority(), path) : path);
  message.version(11);
  message.set(http::field::host, base_.Authority());
  message.set(http::field::user_agent, "carrel");
  message.set(http::field::accept, std::string(request.accept));
  if (!options_.api_key.empty()) {
    message.set(http::field::authorization, absl::StrCat("Bearer ", options_.api_key));
  }
  if (by_proxy) ProxyAuthorization(*proxy_, message);
  if (!request.body.empty()) message.set(http::field::content_type, std::string(request.content_type));
  message.body() = request.body;
  message.prepare_payload();

  for (;;) {
    if (cancel.cancelled()) co_return absl::CancelledError("cancelled");
    std::unique_ptr<HttpConnection> connection = TakeIdle();
    if (connection == nullptr) {
      auto made = co_await Connect(cancel);
      if (!made.ok()) co_return made.status();
      connection = *std::move(made);
    }
    HttpConnection* raw = connection.get();
    cancel.OnCancel([raw] { raw->socket().cancel(); });
    bool started = false;
    absl::StatusOr<bool> reusable = false;
    if (raw->encrypted) {
      reusable = co_await Converse(raw->stream, *raw, message, reader, options_, cancel, started);
    } else {
      reusable = co_await Converse(raw->socket(), *raw, message, reader, options_, cancel, started);
    }
    cancel.OnCancel(nullptr);
    // A kept connection that the server closed as we wrote to it says nothing about the server.
    if (!reusable.ok() && absl::IsUnavailable(reusable.status()) && raw->used_before && !started) continue;
    if (!reusable.ok()) co_return reusable.status();
    if (*reusable) KeepIdle(std::move(connection));
    co_return absl::OkStatus();
  }
}

}  // namespace carrel::gateway
