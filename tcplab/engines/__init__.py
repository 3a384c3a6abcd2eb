"""The only I/O: the loop and its clock, the fabrics that carry frames, namespaces, applications, the World of a run."""
