#include "fake_api.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace carrel::cli {
namespace {

void SendAll(int fd, const std::string& text) {
  for (size_t sent = 0; sent < text.size();) {
    const ssize_t now = ::send(fd, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
    if (now <= 0) return;
    sent += static_cast<size_t>(now);
  }
}

bool ReceiveSome(int fd, std::string& text) {
  char buffer[65536];
  const ssize_t got = ::recv(fd, buffer, sizeof(buffer), 0);
  if (got > 0) text.append(buffer, static_cast<size_t>(got));
  return got > 0;
}

FakeApi::Request ParseHead(const std::string& head) {
  FakeApi::Request request;
  const size_t first = head.find(' ');
  const size_t second = head.find(' ', first + 1);
  request.method = head.substr(0, first);
  const std::string target = head.substr(first + 1, second - first - 1);
  const size_t question = target.find('?');
  request.path = target.substr(0, question);
  if (question != std::string::npos) request.query = target.substr(question + 1);
  for (size_t at = head.find("\r\n") + 2; at < head.size();) {
    const size_t end = std::min(head.find("\r\n", at), head.size());
    const size_t colon = head.find(':', at);
    std::string name = head.substr(at, colon - at);
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
    if (colon < end) request.headers[name] = head.substr(colon + 2, end - colon - 2);
    at = end + 2;
  }
  return request;
}

}  // namespace

FakeApi::FakeApi(Handler handler, const std::string& unix_path) : handler_(std::move(handler)) {
  if (unix_path.empty()) {
    listener_ = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    if (::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size) != 0) std::abort();
    ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
  } else {
    listener_ = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, unix_path.c_str(), sizeof(address.sun_path) - 1);
    if (::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) std::abort();
  }
  ::listen(listener_.get(), 16);
  acceptor_ = std::jthread([this](const std::stop_token& stop) { Accept(stop); });
}

FakeApi::~FakeApi() {
  acceptor_.request_stop();
  acceptor_.join();
  connections_.clear();
}

std::vector<FakeApi::Request> FakeApi::requests() {
  const std::lock_guard lock(mutex_);
  return requests_;
}

void FakeApi::Accept(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    pollfd waiting{.fd = listener_.get(), .events = POLLIN, .revents = 0};
    if (::poll(&waiting, 1, 20) <= 0) continue;
    const int fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    connections_.emplace_back([this, fd] { Serve(UniqueFd(fd)); });
  }
}

void FakeApi::Serve(const UniqueFd& connection) {
  std::string text;
  size_t end = std::string::npos;
  while ((end = text.find("\r\n\r\n")) == std::string::npos) {
    if (!ReceiveSome(connection.get(), text)) return;
  }
  Request request = ParseHead(text.substr(0, end + 2));
  if (request.headers["expect"] == "100-continue") SendAll(connection.get(), "HTTP/1.1 100 Continue\r\n\r\n");
  const size_t length = request.headers.contains("content-length") ? std::stoul(request.headers["content-length"]) : 0;
  request.body = text.substr(end + 4);
  while (request.body.size() < length) {
    if (!ReceiveSome(connection.get(), request.body)) return;
  }
  {
    const std::lock_guard lock(mutex_);
    requests_.push_back(request);
  }
  const Reply reply = handler_(request);
  std::string head = "HTTP/1.1 " + std::to_string(reply.status) + " Said\r\nConnection: close\r\n";
  for (const std::string& header : reply.headers) head += header + "\r\n";
  SendAll(connection.get(), head + "\r\n" + reply.body);
  while (reply.more) {
    const std::string piece = reply.more();
    if (piece.empty()) break;
    SendAll(connection.get(), piece);
  }
}

}  // namespace carrel::cli
