// What a server says about itself to those who have a key.
#pragma once

#include <string>

namespace carrel::gateway {

struct ServerFacts {
  std::string version;
  std::string grpc;  // HOST:PORT or unix:PATH; "": it is not served (yet)
  // HOST[:PORT] of the chat model's endpoint, without credentials or path; "": none is configured.
  std::string model_host;
};

}  // namespace carrel::gateway
