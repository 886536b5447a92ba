# A Hub name is looked up in the local cache; the outputs are named after the repository and stay out of the cache.
snapshot=hub/models--acme--miller-7b/snapshots/0123abc
mkdir -p $snapshot hub/models--acme--miller-7b/refs blobs
printf 0123abc > hub/models--acme--miller-7b/refs/main
for file in "$SAMPLES"/miller-base/*; do
    cp "$file" blobs/ && ln -s "$PWD/blobs/$(basename "$file")" $snapshot/
done
HF_HUB_CACHE=hub quern pack acme/miller-7b -t Q8_0 -q && ls gguf
HF_HUB_CACHE=hub quern pack acme/other -t Q8_0
