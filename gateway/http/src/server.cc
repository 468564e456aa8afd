#include "gateway/http/server.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>
#include <unordered_set>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "asio.h"
#include "gateway/types/status_macros.h"
#include "session.h"

namespace carrel::gateway::http {
namespace {

using asio::ip::tcp;
using Unix = asio::local::stream_protocol;
using asio::redirect_error;
using asio::use_awaitable;

// After a failure to accept (no descriptors left, say).
constexpr auto kAcceptPause = std::chrono::milliseconds(100);
// For the last event of streams that a shutdown ends.
constexpr absl::Duration kLastWord = absl::Seconds(1);

absl::StatusOr<tcp::endpoint> EndpointOf(const std::string& address) {
  size_t colon = address.rfind(':');
  int port = -1;
  if (colon == std::string::npos || !absl::SimpleAtoi(address.substr(colon + 1), &port) || port < 0 || port > 65535) {
    return absl::InvalidArgumentError("'" + address + "' is not HOST:PORT");
  }
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  if (host == "localhost") host = "127.0.0.1";
  boost::system::error_code error;
  asio::ip::address ip = asio::ip::make_address(host, error);
  if (error) return absl::InvalidArgumentError("'" + host + "' is not an IP address");
  return tcp::endpoint(ip, static_cast<unsigned short>(port));
}

// Of a socket of the same user, or of root.
bool IsOurs(int fd) {
  ucred peer;
  socklen_t length = sizeof(peer);
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && (peer.uid == geteuid() || peer.uid == 0);
}

}  // namespace

class Server::Impl {
 public:
  Impl(Options options, Api api) : shared_(std::move(options), api), io_(shared_.options.io_threads) {}

  absl::Status Start();
  void Drain(absl::Duration patience);
  const std::string& address() const { return address_; }

 private:
  template <typename Acceptor>
  asio::awaitable<void> Accept(Acceptor& acceptor, bool admin);
  void Adopt(Socket socket, bool admin);
  absl::Status Listen();
  absl::Status ListenAdmin();

  Shared shared_;
  asio::io_context io_;
  asio::executor_work_guard<asio::io_context::executor_type> work_ = asio::make_work_guard(io_);
  tcp::acceptor acceptor_{io_};
  Unix::acceptor admin_acceptor_{io_};
  std::string address_;
  std::vector<std::thread> threads_;
  absl::Mutex mutex_;
  std::vector<std::weak_ptr<Session>> sessions_ ABSL_GUARDED_BY(mutex_);
  bool drained_ = false;
};

absl::Status Server::Impl::Listen() {
  GATEWAY_ASSIGN_OR_RETURN(tcp::endpoint endpoint, EndpointOf(shared_.options.listen));
  boost::system::error_code error;
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (error) {
    return absl::UnavailableError(absl::StrCat("cannot listen on ", shared_.options.listen, ": ", error.message()));
  }
  tcp::endpoint bound = acceptor_.local_endpoint();
  std::string host = bound.address().to_string();
  address_ = absl::StrCat(bound.address().is_v6() ? "[" + host + "]" : host, ":", bound.port());
  return absl::OkStatus();
}

absl::Status Server::Impl::ListenAdmin() {
  const std::string& path = shared_.options.admin_socket;
  unlink(path.c_str());
  boost::system::error_code error;
  admin_acceptor_.open(Unix(), error);
  // Nobody else's from its first moment on.
  mode_t before = umask(0177);
  if (!error) admin_acceptor_.bind(Unix::endpoint(path), error);
  umask(before);
  if (!error) admin_acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (error) return absl::UnavailableError(absl::StrCat("cannot listen on ", path, ": ", error.message()));
  return absl::OkStatus();
}

absl::Status Server::Impl::Start() {
  GATEWAY_RETURN_IF_ERROR(Listen());
  if (!shared_.options.admin_socket.empty()) GATEWAY_RETURN_IF_ERROR(ListenAdmin());
  asio::co_spawn(io_, Accept(acceptor_, false), asio::detached);
  if (admin_acceptor_.is_open()) asio::co_spawn(io_, Accept(admin_acceptor_, true), asio::detached);
  for (int i = 0; i < shared_.options.io_threads; ++i) threads_.emplace_back([this] { io_.run(); });
  return absl::OkStatus();
}

template <typename Acceptor>
asio::awaitable<void> Server::Impl::Accept(Acceptor& acceptor, bool admin) {
  while (!shared_.draining) {
    typename Acceptor::protocol_type::socket socket(asio::make_strand(io_));
    boost::system::error_code error;
    co_await acceptor.async_accept(socket, redirect_error(use_awaitable, error));
    if (error == asio::error::operation_aborted || error == asio::error::bad_descriptor) break;
    if (error) {
      asio::steady_timer pause(io_, kAcceptPause);
      co_await pause.async_wait(redirect_error(use_awaitable, error));
      continue;
    }
    // Beyond the limit a connection is closed at once: the client sees a refusal, not a silence.
    if (shared_.connections >= shared_.options.connections_max) continue;
    if constexpr (std::is_same_v<Acceptor, tcp::acceptor>) {
      socket.set_option(tcp::no_delay(true), error);
    } else if (!IsOurs(socket.native_handle())) {
      continue;
    }
    Adopt(Socket(std::move(socket)), admin);
  }
}

void Server::Impl::Adopt(Socket socket, bool admin) {
  auto executor = socket.get_executor();
  auto session = std::make_shared<Session>(shared_, std::move(socket), admin);
  {
    absl::MutexLock lock(&mutex_);
    std::erase_if(sessions_, [](const std::weak_ptr<Session>& known) { return known.expired(); });
    sessions_.push_back(session);
  }
  asio::co_spawn(
      executor, [session] { return session->Run(); }, asio::detached);
}

void Server::Impl::Drain(absl::Duration patience) {
  if (std::exchange(drained_, true)) return;
  shared_.draining = true;
  asio::post(io_, [this] {
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    admin_acceptor_.close(ignored);
  });
  auto close_all = [this](bool only_idle) {
    absl::MutexLock lock(&mutex_);
    for (const std::weak_ptr<Session>& known : sessions_) {
      if (std::shared_ptr<Session> session = known.lock()) session->Close(only_idle);
    }
  };
  auto wait = [this](absl::Duration at_most) {
    for (absl::Time end = absl::Now() + at_most; shared_.connections > 0 && absl::Now() < end;) {
      absl::SleepFor(absl::Milliseconds(5));
    }
  };
  close_all(true);
  wait(patience);
  // Streams whose runs are not over end with a word about it, those that are read at all.
  {
    absl::MutexLock lock(&mutex_);
    for (const std::weak_ptr<Session>& known : sessions_) {
      if (std::shared_ptr<Session> session = known.lock()) session->EndStream();
    }
  }
  wait(kLastWord);
  close_all(false);
  // What still runs on a worker comes to its end; its connection then sees that it is closed.
  wait(absl::Seconds(10));
  shared_.workers.stop();
  shared_.workers.join();
  work_.reset();
  io_.stop();
  for (std::thread& thread : threads_) thread.join();
  if (!shared_.options.admin_socket.empty()) unlink(shared_.options.admin_socket.c_str());
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() { impl_->Drain(absl::ZeroDuration()); }

absl::StatusOr<std::unique_ptr<Server>> Server::Start(Options options, Api api) {
  auto impl = std::make_unique<Impl>(std::move(options), api);
  std::unique_ptr<Server> server(new Server(std::move(impl)));
  GATEWAY_RETURN_IF_ERROR(server->impl_->Start());
  return server;
}

const std::string& Server::address() const { return impl_->address(); }
void Server::Drain(absl::Duration patience) { impl_->Drain(patience); }

}  // namespace carrel::gateway::http
