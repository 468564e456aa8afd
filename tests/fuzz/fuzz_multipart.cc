// Forms, with the boundary that their own first line names. Promised: the same parts wherever the bytes are cut, no
// part without a name, and no more bytes out than in.
#include "fuzzer.h"
#include "multipart.h"

namespace carrel::fuzz {
namespace {

struct Read {
  std::string parts;
  absl::StatusCode code = absl::StatusCode::kOk;
  size_t data_bytes = 0;
};

Read ReadForm(std::string_view boundary, std::string_view body, uint8_t cuts) {
  Read read;
  bool open = false;
  gateway::http::MultipartReader reader(std::string(boundary), {.begin =
                                                                    [&](const gateway::http::PartHeader& part) {
                                                                      FUZZ_CHECK(!open && !part.name.empty());
                                                                      open = true;
                                                                      read.parts += "<" + part.name + "|" +
                                                                                    part.filename +
                                                                                    (part.is_file ? "|file>" : ">");
                                                                      return absl::OkStatus();
                                                                    },
                                                                .data =
                                                                    [&](std::string_view bytes) {
                                                                      FUZZ_CHECK(open && !bytes.empty());
                                                                      read.parts += bytes;
                                                                      read.data_bytes += bytes.size();
                                                                      return absl::OkStatus();
                                                                    },
                                                                .end =
                                                                    [&] {
                                                                      FUZZ_CHECK(open);
                                                                      open = false;
                                                                      return absl::OkStatus();
                                                                    }});
  absl::Status status;
  InPieces(body, cuts, [&](std::string_view piece) {
    if (status.ok()) status = reader.Feed(piece);
  });
  if (status.ok()) status = reader.Finish();
  FUZZ_CHECK(read.data_bytes <= body.size());
  FUZZ_CHECK(!status.ok() || !open);
  read.code = status.code();
  return read;
}

}  // namespace

void Target(std::string_view input) {
  Bytes bytes(input);
  const uint8_t cuts = bytes.Byte();
  std::string_view rest = bytes.Rest();
  std::string_view type = rest.substr(0, rest.find('\n'));
  std::string boundary = gateway::http::BoundaryOf(type);
  if (boundary.empty()) return;
  std::string_view body = rest.substr(std::min(rest.size(), type.size() + 1));
  Read whole = ReadForm(boundary, body, 0);
  Read pieces = ReadForm(boundary, body, cuts | 1);
  FUZZ_CHECK(whole.code == pieces.code);
  FUZZ_CHECK(whole.code != absl::StatusCode::kOk || whole.parts == pieces.parts);
}

}  // namespace carrel::fuzz
