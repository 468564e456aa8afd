// An Embedder that asks an OpenAI-compatible /embeddings endpoint.
//
// A model server is not trusted: what it answers is bounded in size and time, checked number by number, and brought to
// unit length; redirects are not followed; what it says of an error is quoted short and without control characters. Its
// key is sent to it and to nobody else, and stands in no message.
//
// Thread-safe; at most `calls_max` calls at once, of which one is kept for questions.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "retrieval/embedder.h"

namespace carrel::retrieval {

struct RemoteEmbedderOptions {
  std::string base_url;          // "http://HOST:PORT/v1"; https where it leaves the machine
  std::string model;             // as the endpoint calls it
  std::string api_key;           // sent as `authorization: Bearer …`; "": none
  uint32_t dimensions = 0;       // numbers of its vectors, 1 to 4096
  uint32_t window_tokens = 512;  // that it reads of a text; what is cut is cut to fit
  std::string query_prefix;
  std::string passage_prefix;
  std::string ca_file;    // PEM; "": the system's
  std::string proxy_url;  // "": directly
  uint32_t batch_max = 32;
  uint32_t calls_max = 4;
  absl::Duration connect_max = absl::Seconds(5);
  absl::Duration call_max = absl::Seconds(60);
  uint32_t tries_max = 4;                          // of a call that is answered 408, 429 or 5xx, or not at all
  absl::Duration pause = absl::Milliseconds(250);  // before the second try; doubled each time, at most 10 s
};

// Its name is "remote/MODEL", its alias "remote"; a store remembers the name. Does not call the endpoint yet.
// INVALID_ARGUMENT: an option, with what would be right.
// Embed: UNAVAILABLE: not reached, or it cannot now; FAILED_PRECONDITION: it refuses, or what it answers is not what
// the options say.
[[nodiscard]] absl::StatusOr<std::unique_ptr<Embedder>> MakeRemoteEmbedder(RemoteEmbedderOptions options);

}  // namespace carrel::retrieval
