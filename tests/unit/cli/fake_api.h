// An HTTP server for tests of the command line: each request is answered by a function, on its own thread.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "sandbox/base/unique_fd.h"

namespace carrel::cli {

class FakeApi final {
 public:
  struct Request {
    std::string method;
    std::string path;  // without the query
    std::string query;
    std::map<std::string, std::string> headers;  // names in lower case
    std::string body;
  };
  struct Reply {
    int status = 200;
    std::string body;
    std::vector<std::string> headers;
    // What comes later, piece by piece; "": the end. The connection closes then.
    std::function<std::string()> more;
  };
  using Handler = std::function<Reply(const Request&)>;

  // On a free port of loopback, or on this unix socket.
  explicit FakeApi(Handler handler, const std::string& unix_path = "");
  ~FakeApi();
  FakeApi(const FakeApi&) = delete;
  FakeApi& operator=(const FakeApi&) = delete;

  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  // What was asked so far.
  [[nodiscard]] std::vector<Request> requests();

 private:
  void Accept(const std::stop_token& stop);
  void Serve(const UniqueFd& connection);

  const Handler handler_;
  UniqueFd listener_;
  int port_ = 0;
  std::mutex mutex_;
  std::vector<Request> requests_;
  std::list<std::jthread> connections_;
  std::jthread acceptor_;
};

}  // namespace carrel::cli
