// A JailMaker whose sessions are threads that follow a script: the cell's code is the script, one word a line.
//
//   say TEXT · err TEXT · raise ERRNO · exit N     as a driver does
//   spin             waits for an interrupt, then reports KeyboardInterrupt
//   stubborn         ignores interrupts until it is killed
//   die SIGNAL · oom · leave N                     the process ends
//   kill-itself      it ends by SIGKILL, and the jail remembers that memory was short in an earlier call
//   burn MS          adds to the CPU that the statistics tell, then spins
//   refuse-fork · child-oom                        the statistics tell so
//   nonsense · hang-up                             what is no frame · closes the channel
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "sandbox/jail.h"

namespace carrel::testing {

class ScriptedJails final : public sandbox::JailMaker {
 public:
  absl::StatusOr<std::unique_ptr<sandbox::Jail>> Create(sandbox::JailRequest request, absl::Time deadline) override;
  sandbox::JailReport report() const override {
    return {.tier = "scripted", .layers = layers, .weakened = {"memory: watchdog"}};
  }
  std::vector<sandbox::PolicyInfo> policies() const override {
    return {{.name = "python", .runtime = sandbox::RuntimeUse::kPooled, .ready = true, .generation = generation},
            {.name = "extract", .ready = true}};
  }

  // Kills every jail there is, as the kernel may.
  void KillAll();

  struct Registry {
    std::mutex mutex;
    std::set<sandbox::Jail*> jails;
  };
  // Of the runtime.
  std::atomic<uint32_t> generation = 0;
  // Of the report.
  std::vector<sandbox::LayerState> layers;
  // The next Create fails with it.
  absl::Status fail_next;
  // Jails that exist.
  std::shared_ptr<std::atomic<int>> alive = std::make_shared<std::atomic<int>>(0);

 private:
  Registry registry_;
};

}  // namespace carrel::testing
