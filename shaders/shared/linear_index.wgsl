// Index of this invocation when workgroups of 256 are spread over x and y.
fn linear_index(id: vec3u, groups: vec3u) -> u32 {
    return id.x + id.y * (groups.x * 256u);
}
