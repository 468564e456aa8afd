#include "stores.h"

#include <grpcpp/client_context.h>

#include <algorithm>
#include <vector>

#include "absl/time/clock.h"
#include "cli/console.h"
#include "rpc/status.h"
#include "strings.h"

namespace carrel::cli {
namespace {

// What may be an id: others are not worth asking for.
bool LooksLikeId(const std::string& text) {
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || c == '-';
  });
}

}  // namespace

absl::StatusOr<retrieval::v1::Store> FindStore(retrieval::v1::Retrieval::Stub& stub, const std::string& name_or_id) {
  const auto deadline = absl::ToChronoTime(absl::Now() + absl::Minutes(1));
  if (LooksLikeId(name_or_id)) {
    grpc::ClientContext context;
    context.set_deadline(deadline);
    retrieval::v1::GetStoreRequest request;
    request.set_store_id(name_or_id);
    retrieval::v1::Store store;
    const grpc::Status status = stub.GetStore(&context, request, &store);
    if (status.ok()) return store;
    if (status.error_code() != grpc::StatusCode::NOT_FOUND) return rpc::FromGrpc(status, context);
  }
  grpc::ClientContext context;
  context.set_deadline(deadline);
  retrieval::v1::ListStoresResponse response;
  if (const grpc::Status status = stub.ListStores(&context, {}, &response); !status.ok()) {
    return rpc::FromGrpc(status, context);
  }
  std::vector<const retrieval::v1::Store*> named;
  for (const auto& store : response.stores()) {
    if (store.name() == name_or_id) named.push_back(&store);
  }
  if (named.size() == 1) return *named.front();
  if (named.empty()) return absl::NotFoundError(StrCat("there is no store ", SafeText(name_or_id, false)));
  std::string ids;
  for (const auto* store : named) StrAppend(&ids, ids.empty() ? "" : ", ", store->store_id());
  return absl::InvalidArgumentError(
      StrCat(named.size(), " stores are named ", SafeText(name_or_id, false), ": say which by id: ", ids));
}

}  // namespace carrel::cli
