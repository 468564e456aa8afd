// A server that does nothing but give its jailer's socket to the test: over descriptor 0, which is the test's socket
// pair. Ends when the test closes that.
#include <unistd.h>

#include <cstdlib>

#include "sandbox/base/message_socket.h"

int main() {
  const char* variable = std::getenv("CARREL_JAILER_FD");
  if (variable == nullptr) return 3;
  const int socket = std::atoi(variable);
  const pid_t pid = ::getpid();
  if (!carrel::SendMessage(0, carrel::BytesOf(pid), std::span(&socket, 1)).ok()) return 4;
  std::byte nothing;
  (void)carrel::ReceiveMessage(0, std::span(&nothing, 1));
  return 0;
}
