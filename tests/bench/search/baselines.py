"""What carrel-bench-search is compared with: chromadb and faiss-cpu over the same vectors and questions.

usage: baselines.py PREFIX      (reads PREFIXall.f32 and PREFIXquestions.f32, 384 numbers a vector)

Prints "name<TAB>number" lines. Each library as its documentation says for cosine, in this process, one thread.
"""
import statistics
import sys
import tempfile
import time

import numpy

DIMENSIONS, NEIGHBOURS = 384, 10


def measure(name, search, questions, truth):
    times, found = [], 0
    for question, wanted in zip(questions, truth):
        start = time.perf_counter()
        got = search(question)
        times.append((time.perf_counter() - start) * 1e3)
        found += len(wanted & set(got))
    print(f"{name}, ms, p50\t{statistics.median(times):.4f}")
    print(f"{name}, ms, p95\t{sorted(times)[int(len(times) * 0.95)]:.4f}")
    print(f"{name}, recall@10\t{found / (NEIGHBOURS * len(questions)):.4f}", flush=True)


def main():
    vectors, questions = (numpy.fromfile(sys.argv[1] + part, numpy.float32).reshape(-1, DIMENSIONS)
                          for part in ("all.f32", "questions.f32"))
    truth = [set(numpy.argpartition(-(vectors @ question), NEIGHBOURS)[:NEIGHBOURS].tolist()) for question in questions]

    import faiss
    faiss.omp_set_num_threads(1)
    flat = faiss.IndexFlatIP(DIMENSIONS)
    flat.add(vectors)
    measure("faiss-cpu, flat", lambda q: flat.search(q[None], NEIGHBOURS)[1][0].tolist(), questions, truth)
    cells = min(1024 if len(vectors) < 400_000 else 4096, max(1, len(vectors) // 48))
    coarse = faiss.IndexFlatIP(DIMENSIONS)
    ivf = faiss.IndexIVFFlat(coarse, DIMENSIONS, cells, faiss.METRIC_INNER_PRODUCT)
    ivf.train(vectors[:: max(1, len(vectors) // (cells * 48))])
    ivf.add(vectors)
    ivf.nprobe = 16
    measure(f"faiss-cpu, IVF{cells}, 16 cells", lambda q: ivf.search(q[None], NEIGHBOURS)[1][0].tolist(), questions, truth)
    del flat, ivf

    import chromadb
    with tempfile.TemporaryDirectory() as directory:
        client = chromadb.PersistentClient(directory, chromadb.Settings(anonymized_telemetry=False))
        collection = client.create_collection("bench", configuration={"hnsw": {"space": "cosine"}})
        names = [str(i) for i in range(len(vectors))]
        for begin in range(0, len(vectors), 5000):
            collection.add(names[begin:begin + 5000], embeddings=vectors[begin:begin + 5000])

        def search(question):
            reply = collection.query(query_embeddings=question[None], n_results=NEIGHBOURS, include=[])
            return [int(i) for i in reply["ids"][0]]
        search(questions[0])
        measure("chromadb", search, questions, truth)


main()
