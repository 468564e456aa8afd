// The porter: what a session's init does for the server with the files of its workspace.
#pragma once

#include <poll.h>

#include <memory>
#include <string>
#include <vector>

#include "porter_protocol.h"
#include "sandbox/base/unique_fd.h"
#include "workspace_files.h"

namespace carrel::sandbox {

// Serves one socket, together with the init's own poll loop. Requests that wait (an upload whose source is slow) do not
// hold up others.
class Porter final {
 public:
  // Signals everything in the session. 0 or errno.
  using SignalAll = int (*)(int signal);
  // As pid 1 of a pid namespace: everything in it but the caller.
  [[nodiscard]] static int SignalNamespace(int signal);

  // `proc`: a /proc to use where none is mounted in the session; -1: the one that is.
  Porter(UniqueFd socket, UniqueFd workspace, FileOwner owner, SignalAll signal_all = &SignalNamespace, int proc = -1)
      : socket_(std::move(socket)),
        workspace_(std::move(workspace)),
        owner_(owner),
        signal_all_(signal_all),
        proc_(proc) {}

  // The socket of the server, for one that was made without.
  void Open(UniqueFd socket) { socket_ = std::move(socket); }

  // Adds what it waits for.
  void AddTo(std::vector<pollfd>* polled) const;
  // Does what is due. `polled` from `first` on is what AddTo added.
  void Serve(const std::vector<pollfd>& polled, size_t first);

 private:
  struct Upload {
    UniqueFd reply;
    UniqueFd source;
    NewFile file;
    bool done = false;
  };
  void Receive();
  void StartUpload(const PorterRequest& request, const std::string& path, UniqueFd reply, UniqueFd source);
  void Continue(Upload* upload);
  void SendListing(int reply, const PorterRequest& request);

  UniqueFd socket_;
  UniqueFd workspace_;
  FileOwner owner_;
  SignalAll signal_all_;
  int proc_;
  std::vector<Upload> uploads_;
};

}  // namespace carrel::sandbox
