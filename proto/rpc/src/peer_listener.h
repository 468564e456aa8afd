// A unix socket whose clients are known by uid before a byte of theirs is read.
//
// gRPC listens on unix sockets itself, but tells nobody who connected. So we accept, ask the kernel (SO_PEERCRED: the
// credentials at the time of connect), and hand only the accepted descriptors of allowed uids to gRPC.
#pragma once

#include <grpcpp/server.h>
#include <sys/types.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"

namespace carrel::rpc {

// Who stands behind the descriptors that were handed to gRPC, for the log. Thread-safe.
class Peers final {
 public:
  void Set(int fd, uid_t uid, pid_t pid);
  // "uid:1000 pid:4711" for the peer text of a gRPC context ("fd:7"), or the text itself.
  [[nodiscard]] std::string Describe(std::string_view grpc_peer) const;

 private:
  mutable std::mutex mutex_;
  std::map<int, std::string> peers_;  // bounded by the descriptors of the process
};

class PeerListener final {
 public:
  // Binds and listens. A socket file on which nobody listens any more is replaced; ALREADY_EXISTS when somebody does.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<PeerListener>> Listen(std::string path,
                                                                            std::vector<uid_t> allowed_uids);
  PeerListener(const PeerListener&) = delete;
  PeerListener& operator=(const PeerListener&) = delete;
  // As Stop().
  ~PeerListener();

  // Starts accepting for `server`, which must live until Stop() has returned.
  void Start(grpc::Server* server);
  // Accepts no more and removes the socket file. Twice is fine.
  void Stop();
  [[nodiscard]] const Peers& peers() const { return peers_; }

 private:
  PeerListener(std::string path, std::vector<uid_t> allowed_uids, int listen_fd, int stop_fd);
  void Run(grpc::Server* server);
  void AcceptOne(grpc::Server* server);
  [[nodiscard]] bool Allowed(uid_t uid) const;

  const std::string path_;
  const std::vector<uid_t> allowed_uids_;
  int listen_fd_;
  int stop_fd_;
  ino_t inode_ = 0;
  Peers peers_;
  std::thread thread_;
};

}  // namespace carrel::rpc
