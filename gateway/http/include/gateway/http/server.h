// OpenAI's HTTP API: connections, limits, routes, streams.
//
// The same tree is served under /v1, /openai/v1, /openai (Azure) and at the root. Connections are served by a few
// threads that never block; what blocks (the database, a search) runs on workers. A stream that is read slowly, or not
// at all, costs its connection and nothing else.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gateway/core/assistants.h"
#include "gateway/core/containers.h"
#include "gateway/core/files.h"
#include "gateway/core/keys.h"
#include "gateway/core/stores.h"
#include "gateway/core/threads.h"
#include "gateway/core/uploads.h"
#include "gateway/ports/chat_model.h"
#include "gateway/ports/clock.h"
#include "gateway/ports/repository.h"
#include "gateway/ports/run_log.h"
#include "gateway/ports/runs.h"
#include "gateway/types/server_facts.h"

namespace carrel::gateway::http {

// What the routes call. Borrowed; everything outlives the server.
struct Api {
  Assistants& assistants;
  Threads& threads;
  Files& files;
  Stores& stores;
  Keys& keys;
  Containers& containers;
  Uploads& uploads;
  Repository& repository;
  Runs& runs;
  RunLog& run_log;
  ChatModel& model;
  Ids& ids;
  // Answers GET /carrel/server; any thread.
  std::function<ServerFacts()> describe;
};

struct RequestRecord {
  std::string request_id;
  std::string method;
  std::string route;  // "/threads/{thread}/runs", never ids
  std::string project;
  int status = 0;
  absl::Duration took;
  bool streamed = false;
};

struct Options {
  // HOST:PORT (port 0: any that is free).
  std::string listen = "127.0.0.1:8080";
  // A socket for people with a shell on this machine: the API, and the administration of keys, without a key. "": none.
  std::string admin_socket;
  int io_threads = 2;
  int worker_threads = 16;
  uint64_t connections_max = 4096;
  uint64_t header_bytes_max = 16 << 10;
  uint64_t json_bytes_max = 10 << 20;
  // A connection on which nothing happens is closed after this long; between two requests, and within one.
  absl::Duration idle_time_max = absl::Seconds(75);
  absl::Duration read_time_max = absl::Seconds(60);
  absl::Duration write_time_max = absl::Seconds(120);
  // Between two signs of life in a stream.
  absl::Duration ping_interval = absl::Seconds(15);
  // Whether everything that requests need can be reached, as a sentence when not; for /readyz. Must not block long.
  std::function<absl::Status()> ready;
  // Called once a request, after its last byte; any thread.
  std::function<void(const RequestRecord&)> observe;
};

class Server {
 public:
  static absl::StatusOr<std::unique_ptr<Server>> Start(Options options, Api api);
  // Drains with no patience.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Where it listens, HOST:PORT with the real port.
  const std::string& address() const;
  // Takes no more connections or requests, lets those that are being served come to their end, and closes what is left
  // after `patience`.
  void Drain(absl::Duration patience);

 private:
  class Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace carrel::gateway::http
