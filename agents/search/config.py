"""Settings of the index of search-based imitation."""

from basalt.core.settings import Count, PathText, settings


@settings
class SearchConfig:
    """Settings of an index.

    Attributes:
        out: Folder of the run; an index that was made with the same settings is made again.
        task: Task whose demonstrations to follow.
        data: Folder of embeddings (`basalt embed`). The same policy embeds what the agent sees.
        components: Number of principal components in which a search compares all frames; its neighbours are ranked
            again on the full latents.
    """

    out: PathText
    task: str = "find_cave"
    data: PathText = "embeddings"
    components: Count = 32
