// The jailer's half of everything that is said to it, with nobody real around it: its server, its nursery and the inits
// are ends of sockets that the fuzzer holds.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "nursery_protocol.h"
#include "sandbox/base/event_loop.h"
#include "sandbox/base/message_socket.h"
#include "sandbox/base/unique_fd.h"
#include "sandbox/jailer_protocol.h"
#include "session_keeper.h"

namespace carrel::fuzz {

class KeeperWorld final {
 public:
  static constexpr uint32_t kExec = 0;    // the policy of kind exec
  static constexpr uint32_t kZygote = 1;  // the other
  static constexpr uint32_t kProcessesCap = 4096;

  KeeperWorld();
  KeeperWorld(const KeeperWorld&) = delete;
  KeeperWorld& operator=(const KeeperWorld&) = delete;

  // What somebody says, with `count` descriptors: the first is of a process that lives when `process` is set, the
  // others of /dev/null.
  void FromServer(std::span<const std::byte> bytes, size_t count);
  void FromNursery(std::span<const std::byte> bytes, size_t count, bool process);
  // Nothing, where there is no init of that session.
  void FromInit(uint64_t session, std::span<const std::byte> bytes, size_t count, bool process);
  // As a nursery and an init should, so that a program of the policy kExec runs.
  void StartAsOrdered(uint64_t session);

  // The jailer takes what was said. Everything that it says is in `answers` then.
  void Turn();
  // After more time than anybody is given.
  void LetTimePass();

  [[nodiscard]] bool stopped() const { return stopped_; }
  // The sessions whose inits were ordered, and are the fuzzer's to play.
  [[nodiscard]] std::vector<uint64_t> inits() const;

  std::vector<sandbox::JailerMessage> answers;  // to the server, all since the beginning

 private:
  void Say(int socket, std::span<const std::byte> bytes, size_t count, bool process);
  void TakeOrders();
  void TakeAnswers();

  std::unique_ptr<EventLoop> loop_;
  std::vector<sandbox::Policy> policies_;
  std::vector<sandbox::EnterPlan> plans_;
  UniqueFd null_;
  UniqueFd server_;
  UniqueFd nursery_;
  UniqueFd nursery_of_keeper_;
  std::map<uint64_t, UniqueFd> inits_;
  std::map<uint64_t, UniqueFd> zygotes_;
  bool stopped_ = false;
  std::unique_ptr<sandbox::SessionKeeper> keeper_;  // last: it calls the rest
};

}  // namespace carrel::fuzz
