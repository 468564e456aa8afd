// The gateway, put together: storage, core, executor and HTTP over whatever model, code tool and search tool it is
// given. carrel-gateway gives it the real ones; tests give it theirs.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gateway/assistants/run_executor.h"
#include "gateway/core/containers.h"
#include "gateway/core/files.h"
#include "gateway/core/keys.h"
#include "gateway/core/stores.h"
#include "gateway/http/server.h"
#include "gateway/ports/chat_model.h"
#include "gateway/ports/code_tool.h"
#include "gateway/ports/container_host.h"
#include "gateway/ports/file_store.h"
#include "gateway/ports/search_tool.h"
#include "gateway/types/server_facts.h"

namespace carrel::gateway {

struct AssemblyOptions {
  // Holds gateway.db, files/, admin.sock, and root.key with a first key that was made here; made when it is not there.
  std::string data_dir;
  // A commit survives power loss, not only the death of the process.
  bool full_sync = true;
  // The key of a first start, which then is neither kept in a file nor shown; "": one is made.
  std::string bootstrap_key;
  ExecutorOptions executor;
  http::Options http;  // admin_socket is the assembly's
  // Asked at any time, by any thread. None: nothing is known.
  std::function<ServerFacts()> describe = [] { return ServerFacts{}; };
};

// Borrowed; everything outlives the assembly.
struct Outside {
  FileStore& files;
  ChatModel& model;
  CodeTool& code;
  SearchTool& search;
  ContainerHost& containers;
};

class Assembly {
 public:
  // Recovers what the last process left, then serves.
  static absl::StatusOr<std::unique_ptr<Assembly>> Start(AssemblyOptions options, Outside outside);
  ~Assembly();
  Assembly(const Assembly&) = delete;
  Assembly& operator=(const Assembly&) = delete;

  // HOST:PORT of the API.
  const std::string& address() const;
  // The key that a first start made, "" otherwise: to be shown once.
  const std::string& new_key() const;
  // For a second front.
  Stores& stores();
  Files& files();
  Keys& keys();
  Containers& containers();

  void Drain(absl::Duration patience);

 private:
  class Impl;
  explicit Assembly(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace carrel::gateway
