// A small HTTP server inside the test, that answers as the test says: on 127.0.0.1, any port, plain or TLS.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace carrel::gateway {

struct ScriptedRequest {
  std::string method;
  std::string target;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  // 1, 2, …: in the order in which the server got them.
  int number = 0;
};

// The open connection, for raw bytes. Write returns false once the client has gone.
class ScriptedWire {
 public:
  virtual ~ScriptedWire() = default;
  virtual bool Write(std::string_view bytes) = 0;
  // Blocks until the client closes its side; true: it did within five seconds.
  virtual bool WaitForClose() = 0;
};

// A key and a certificate for "localhost", signed by itself, made anew for each test.
struct TestCertificate {
  std::string key_pem;
  std::string certificate_pem;
};
TestCertificate MakeTestCertificate();

class ScriptedServer final {
 public:
  // Writes a whole answer. Returning true keeps the connection for another request.
  using Script = std::function<bool(const ScriptedRequest&, ScriptedWire&)>;

  explicit ScriptedServer(Script script, const TestCertificate* tls = nullptr);
  ~ScriptedServer();

  int port() const { return port_; }
  int connections() const { return connections_; }
  std::vector<ScriptedRequest> requests();

 private:
  struct Impl;
  void Accept();
  void Serve(int fd);

  Script script_;
  std::unique_ptr<Impl> impl_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<int> connections_{0};
  std::mutex mutex_;
  std::vector<ScriptedRequest> requests_;
  std::vector<int> open_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

// Whole answers.
std::string PlainAnswer(int status, std::string_view content_type, std::string_view body,
                        std::string_view more_headers = "");
// The head of a chunked stream, a chunk, and the last chunk.
std::string StreamHead();
std::string Chunk(std::string_view data);
std::string LastChunk();
// "data: …\n\n" as one chunk.
std::string Event(std::string_view json);

}  // namespace carrel::gateway
